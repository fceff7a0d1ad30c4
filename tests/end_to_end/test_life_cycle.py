"""From the lock to the last socket: what happens when daemons are killed, told twice, or started twice."""

import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from sarathid.paths import API_SOCKET
from sarathid.protocol.control import DaemonState, Drain, Draining, Pause, Paused, Resume, Resumed
from sarathid.protocol.stats import LifeCycle
from tests.end_to_end.process_ends import Ends
from tests.end_to_end.running_daemon import (
    RunningDaemon,
    first_of,
    launch,
    serving,
    wait_until,
    wait_until_ready,
)

SIMULATED = ("--simulate", "a100/mistral-7b-tp1")
LONG = {"prompt": "Once upon a time", "temperature": 0, "ignore_eos": True}


class Client(threading.Thread):
    """Streams one completion; `started` is set at its first event."""

    def __init__(self, daemon: RunningDaemon, max_tokens: int) -> None:
        super().__init__()
        self.started = threading.Event()
        self.lines: list[str] = []
        self._daemon = daemon
        self._body: dict[str, Any] = LONG | {"max_tokens": max_tokens, "stream": True}

    def run(self) -> None:
        with contextlib.suppress(httpx.RemoteProtocolError):  # a daemon that is told twice hangs up
            self._read()

    def _read(self) -> None:
        with self._daemon.http() as client, client.stream("POST", "/v1/completions", json=self._body) as response:
            for line in response.iter_lines():
                self.lines.append(line)
                self.started.set()

    @property
    def end(self) -> list[str]:
        return [line for line in self.lines if line][-2:]


def start_clients(daemon: RunningDaemon, num_clients: int, max_tokens: int) -> list[Client]:
    clients = [Client(daemon, max_tokens) for _ in range(num_clients)]
    for client in clients:
        client.start()
    for client in clients:
        assert client.started.wait(60)
    return clients


def files_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_second_daemon_is_refused_and_the_first_goes_on(daemon: RunningDaemon, tmp_path: Path) -> None:
    second = launch(daemon.runtime_dir, tmp_path / "second.log")

    assert second.wait() == 6
    assert f"pid {daemon.process.pid}" in second.log
    with daemon.http() as client:
        assert client.get("/ready").status_code == 200


def test_sigterm_lets_streams_finish_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with serving(tmp_path / "run") as daemon:
        engine_pid = daemon.engine_pid()
        clients = start_clients(daemon, 3, max_tokens=40)
        daemon.process.send_signal(signal.SIGTERM)
        with daemon.http() as late:
            wait_until(lambda: late.get("/ready").status_code == 503, "refuses new requests")
            refused = late.post("/v1/completions", json=LONG | {"max_tokens": 1})
        for client in clients:
            client.join()

        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert all('"finish_reason":"length"' in client.end[0] for client in clients)
        assert all(client.end[1] == "data: [DONE]" for client in clients)
        assert daemon.wait() == 0
        assert not psutil.pid_exists(engine_pid)
    assert files_in(tmp_path / "run") == ["sarathid.lock"]


def test_a_paused_daemon_finishes_what_runs_and_takes_requests_again_when_it_resumes(daemon: RunningDaemon) -> None:
    (client,) = start_clients(daemon, 1, max_tokens=40)
    daemon.ask(Pause(), Paused)
    with daemon.http() as late:
        refused = late.post("/v1/completions", json=LONG | {"max_tokens": 1})
        client.join()
        resumed = daemon.ask(Resume(), Resumed)
        taken = late.post("/v1/completions", json=LONG | {"max_tokens": 1})

    assert refused.status_code == 503
    assert "paused" in refused.text
    assert '"finish_reason":"length"' in client.end[0]
    assert resumed.state is DaemonState.READY
    assert taken.status_code == 200


@contextlib.contextmanager
def half_sent(daemon: RunningDaemon) -> Iterator[tuple[socket.socket, bytes]]:
    """Give a connection whose request was let in, and the half of its body that was not sent yet."""
    body = json.dumps(LONG | {"max_tokens": 200}).encode()
    middle = len(body) // 2
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(os.fspath(daemon.runtime_dir / API_SOCKET))
        head = b"POST /v1/completions HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
        client.sendall(head % len(body) + body[:middle])
        assert client.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        yield client, body[middle:]


def answer_of(client: socket.socket) -> tuple[bytes, Any]:
    """Return the status line of an answer behind which the connection ends, and what its JSON says."""
    with client.makefile("rb") as file:
        head, body = file.read().split(b"\r\n\r\n", 1)
    return head.split(b"\r\n")[0], json.loads(body)


def test_a_drain_serves_a_request_that_was_let_in_and_is_still_read(tmp_path: Path) -> None:
    with serving(tmp_path / "run", *SIMULATED) as daemon, half_sent(daemon) as (client, rest):
        daemon.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "draining" in daemon.log, "drains")
        client.sendall(rest)
        status, answer = answer_of(client)
        assert status == b"HTTP/1.1 200 OK"
        assert answer["usage"]["completion_tokens"] == 200
        assert daemon.wait() == 0


def test_a_request_that_is_still_read_when_a_drain_has_taken_too_long_is_told_so(tmp_path: Path) -> None:
    with serving(tmp_path / "run", *SIMULATED) as daemon, half_sent(daemon) as (client, _rest):
        daemon.ask(Drain(timeout_s=0.1), Draining)
        status, answer = answer_of(client)
        assert status == b"HTTP/1.1 503 Service Unavailable"
        assert answer["error"]["code"] == "unavailable"
        assert daemon.wait() == 124


def test_a_drain_that_takes_too_long_ends_with_124_and_says_cancelled(tmp_path: Path) -> None:
    with serving(tmp_path / "run") as daemon:
        (client,) = start_clients(daemon, 1, max_tokens=5000)
        daemon.ask(Drain(timeout_s=0.5), Draining)

        assert daemon.wait() == 124
        client.join()
        assert '"finish_reason":"cancelled"' in client.end[0]


def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    with serving(tmp_path / "run") as daemon:
        engine_pid = daemon.engine_pid()
        (client,) = start_clients(daemon, 1, max_tokens=5000)
        daemon.process.send_signal(signal.SIGINT)
        wait_until(lambda: "draining" in daemon.log, "drains")
        daemon.process.send_signal(signal.SIGINT)

        assert daemon.wait() == 130
        client.join()
        assert not psutil.pid_exists(engine_pid)
        assert "Traceback" not in daemon.log
    assert files_in(tmp_path / "run") == ["sarathid.lock"]


@pytest.mark.parametrize("is_listening", [False, True])
def test_an_interrupt_of_a_daemon_that_starts_is_told(tmp_path: Path, is_listening: bool) -> None:
    daemon = launch(tmp_path / "run", tmp_path / "log")
    sign = tmp_path / "run" / ("api.sock" if is_listening else "sarathid.lock")
    wait_until(sign.exists, f"makes {sign.name}")
    daemon.process.send_signal(signal.SIGINT)

    assert daemon.wait() == 130
    assert "Traceback" not in daemon.log
    assert files_in(tmp_path / "run") == ["sarathid.lock"]


def test_a_killed_daemon_takes_its_engine_along_and_its_sockets_are_taken_over(tmp_path: Path) -> None:
    with serving(tmp_path / "run") as killed:
        engine = psutil.Process(killed.engine_pid())
        killed.process.kill()
        killed.process.wait()
        psutil.wait_procs([engine], 30)
        assert not engine.is_running()
    assert "api.sock" in files_in(tmp_path / "run")

    successor = launch(tmp_path / "run", tmp_path / "successor.log")
    wait_until(lambda: "sockets" in successor.log, "takes the sockets over")
    with successor.http() as client:
        assert client.get("/health").status_code == 200
    assert successor.stop() == 0


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_daemon_that_is_killed_twenty_times_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    for _ in range(20):
        with serving(tmp_path / "run") as daemon:
            clients = start_clients(daemon, 2, max_tokens=5000)
            children = Ends(child.pid for child in psutil.Process(daemon.process.pid).children(recursive=True))
            daemon.process.kill()
            daemon.process.wait()
            missing = children.missing_after(2.0)
            for client in clients:
                client.join()
            assert children.pids
            assert not missing


def test_streams_go_on_identically_when_the_engine_is_stopped(daemon: RunningDaemon) -> None:
    (undisturbed,) = start_clients(daemon, 1, max_tokens=40)
    undisturbed.join()
    engine = psutil.Process(daemon.engine_pid())
    with daemon.records() as records, daemon.http() as http:
        clients = start_clients(daemon, 2, max_tokens=40)
        engine.suspend()
        restarting = first_of(records, LifeCycle, lambda event: event.state == DaemonState.RESTARTING)
        ready, health = http.get("/ready"), http.get("/health")
        clients += start_clients(daemon, 1, max_tokens=40)
    for client in clients:
        client.join()

    assert "the engine said nothing for" in restarting.message
    assert (ready.status_code, health.status_code) == (503, 200)
    assert health.json()["state"] == DaemonState.RESTARTING
    assert "the engine said nothing for" in health.json()["reason"]
    assert [text_of(client) for client in clients] == [text_of(undisturbed)] * 3
    assert not engine.is_running()


def test_streams_go_on_identically_when_the_engine_is_killed(daemon: RunningDaemon) -> None:
    (undisturbed,) = start_clients(daemon, 1, max_tokens=40)
    undisturbed.join()
    num_restarts = daemon.status().num_engine_restarts
    clients = start_clients(daemon, 2, max_tokens=40)
    psutil.Process(daemon.engine_pid()).kill()
    for client in clients:
        client.join()

    texts = [text_of(client) for client in (undisturbed, *clients)]
    assert texts[1:] == [texts[0], texts[0]]
    assert "the KV cache is as the engine before left it" in daemon.log
    assert daemon.status().num_engine_restarts == num_restarts + 1


def test_a_service_manager_hears_of_start_reload_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "sarathid.toml"
    config.write_text("[engine]\ntoken_budget = 128\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(os.fspath(tmp_path / "notify"))
        manager.settimeout(60.0)
        monkeypatch.setenv("NOTIFY_SOCKET", os.fspath(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "3000000")
        with serving(tmp_path / "run", "--simulate", "a100/mistral-7b-tp1", "--config", os.fspath(config)) as daemon:
            heard_until(manager, "WATCHDOG=1")
            config.write_text("[engine]\ntoken_budget = 64\n")
            daemon.process.send_signal(signal.SIGHUP)
            assert heard_until(manager, "RELOADING=1")
            assert heard_until(manager, "READY=1")
            settings = daemon.status().settings
            assert settings is not None
            assert settings.budget == 64
            config.write_text("[engine]\ntoken_budget = " + "9" * 5_000)
            daemon.process.send_signal(signal.SIGHUP)
            assert heard_until(manager, "RELOADING=1")
            assert heard_until(manager, "READY=1")
            assert daemon.status().settings == settings
            assert daemon.log.count("the configuration is not taken over") == 1
            assert "Traceback" not in daemon.log
            daemon.process.send_signal(signal.SIGTERM)
            assert heard_until(manager, "STOPPING=1")
            assert daemon.wait() == 0


def test_a_hang_up_ends_no_daemon_that_starts(tmp_path: Path) -> None:
    daemon = launch(tmp_path / "run", tmp_path / "log", "--simulate", "a100/mistral-7b-tp1")
    try:
        wait_until(lambda: heeds(daemon.process.pid, signal.SIGHUP), "it loads its modules")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "token_budget auto" in daemon.log, "its settings are known")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until_ready(daemon)
        assert daemon.stop() == 0
    finally:
        daemon.process.kill()
        daemon.process.wait()


def heeds(pid: int, number: signal.Signals) -> bool:
    """Return whether a process does something else at a signal than what the kernel does by default."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    masks = int(status["SigIgn"], 16) | int(status["SigCgt"], 16)
    return bool(masks >> (number - 1) & 1)


def heard_until(manager: socket.socket, wanted: str) -> bool:
    """Read what the daemon tells until it is that; waiting too long for it fails."""
    while wanted not in manager.recv(4096).decode().splitlines():
        pass
    return True


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--model", "no-such-model"), 7, "smollm2-135m"),
        (("--budget", "5"), 2, "16 to 8192"),
        (("--kv-memory", "1MiB", "--max-model-len", "8192"), 7, "--kv-memory"),
    ],
)
def test_a_daemon_that_cannot_start_says_why_in_one_line(
    tmp_path: Path, flags: tuple[str, ...], code: int, words: str
) -> None:
    refused = launch(tmp_path / "run", tmp_path / "log", *flags)

    assert refused.process.wait(120) == code
    assert words in refused.log
    assert "Traceback" not in refused.log


def text_of(client: Client) -> str:
    return "".join(line.partition('"text":"')[2].partition('","index"')[0] for line in client.lines)
