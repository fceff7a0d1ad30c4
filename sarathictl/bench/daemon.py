"""A daemon of one's own: started in a private runtime directory, waited for, and stopped for certain."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sarathictl.client.api import get_json
from sarathictl.client.endpoint import Endpoint
from sarathid.errors import ConfigError, EngineFailed, NotReachable, QueueFull

READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0
DEATH_TIMEOUT_S = 1.0  # its sockets close a moment before it is gone
_POLL_S = 0.1
_LOG_TAIL_LINES = 20


def find_program(name: str) -> str:
    """Return the path of a program installed beside this interpreter, or else on the path.

    Raises `ConfigError` when there is none.
    """
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise ConfigError(f"{name} is not installed beside {sys.executable}, nor on the path")
    return found


@contextmanager
def own_daemon(sarathid: str, arguments: Sequence[str]) -> Iterator[Endpoint]:
    """Start the program `sarathid` to serve, with more `arguments`, and give its endpoint once it is ready.

    It is stopped and its directory removed at the end, however that comes. It runs in a process
    group of its own, so that a ^C at the terminal reaches it through us, in order. Raises
    `EngineFailed` with the end of its log when it does not become ready.
    """
    with tempfile.TemporaryDirectory(prefix="sarathid-") as directory:
        endpoint = Endpoint(Path(directory, "run"))
        log = Path(directory, "log")
        command = [sarathid, "serve", "--runtime-dir", str(endpoint.runtime_dir), *arguments]
        environment = os.environ | {"XDG_STATE_HOME": str(Path(directory, "state"))}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                env=environment,
            )
        try:
            _wait_until_ready(process, endpoint, log)
            yield endpoint
        except NotReachable as error:
            if not _ends_within(process, DEATH_TIMEOUT_S):
                raise
            raise EngineFailed(f"sarathid died; its last words:\n{_tail(log)}") from error
        finally:
            _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], endpoint: Endpoint, log: Path) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while not _is_ready(endpoint):
        if process.poll() is not None:
            raise EngineFailed(f"sarathid ended with code {process.returncode}; its last words:\n{_tail(log)}")
        if time.monotonic() > deadline_s:
            raise EngineFailed(f"sarathid was not ready after {READY_TIMEOUT_S:.0f} s; its last words:\n{_tail(log)}")
        time.sleep(_POLL_S)


def _is_ready(endpoint: Endpoint) -> bool:
    try:
        get_json(endpoint.api, "/ready")
    except (NotReachable, QueueFull):
        return False
    return True


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    if not _ends_within(process, STOP_TIMEOUT_S):
        process.kill()
        process.wait()


def _ends_within(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return False
    return True
