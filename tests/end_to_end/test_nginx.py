"""The README's nginx spreads requests over daemons, and none is lost with one of them."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from sarathid.paths import API_SOCKET
from tests.end_to_end.running_daemon import STOP_TIMEOUT_S, RunningDaemon, serving, wait_until

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
README = Path(__file__).parents[2] / "README.md"
PROFILE = "a100/mistral-7b-tp1"
MAIN = """
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/bodies;
    proxy_temp_path {directory}/answers;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{example}
}}
"""

pytestmark = pytest.mark.skipif(not Path(NGINX).exists(), reason="nginx is not installed")


@contextmanager
def balancing(directory: Path) -> Iterator[Path]:
    """Give the socket of an nginx that runs as the README says, over daemons in `directory`."""
    (found,) = re.findall(r"```nginx\n(.*?)```", README.read_text(), re.DOTALL)
    (directory / "sarathid").mkdir()
    example = found.replace("/run/user/1000", str(directory))
    user = "user root;" if os.getuid() == 0 else ""  # else it may not read sockets of root's
    config = directory / "nginx.conf"
    config.write_text(MAIN.format(directory=directory, user=user, example=example))
    process = subprocess.Popen((NGINX, "-p", str(directory), "-c", str(config), "-e", str(directory / "error.log")))
    try:
        socket_path = directory / "sarathid" / API_SOCKET
        wait_until(socket_path.exists, "nginx listens")
        yield socket_path
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


def complete(socket_path: Path, num_requests: int) -> list[int]:
    """Send requests, eight at a time, and return how many tokens each answer has."""

    def ask(index: int) -> int:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket_path)), timeout=60) as client:
            body = {"prompt": f"request {index}", "max_tokens": 5, "ignore_eos": True}
            answer = client.post("http://nginx/v1/completions", json=body)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["usage"]["completion_tokens"])

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, range(num_requests)))


def num_finished(daemon: RunningDaemon) -> int:
    return daemon.status().num_finished


def test_no_request_is_lost_with_a_daemon(tmp_path: Path) -> None:
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(serving(tmp_path / f"sarathid-{index}", "--simulate", PROFILE)) for index in range(2)
        )
        socket_path = stack.enter_context(balancing(tmp_path))

        assert complete(socket_path, 40) == [5] * 40
        wait_until(lambda: num_finished(first) + num_finished(second) == 40, "the daemons have counted them")
        assert min(num_finished(first), num_finished(second)) > 5

        first.process.kill()
        first.process.wait()
        assert complete(socket_path, 40) == [5] * 40
