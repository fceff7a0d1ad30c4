"""A server of somebody's, started as a process of its own, waited for until it answers, and stopped for certain."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.bench.compare.completion import Completions

START_TIMEOUT_S = 900.0  # vLLM compiles the first time
STOP_TIMEOUT_S = 15.0
POLL_S = 0.1
MEMORY_EVERY_S = 2.0
LOG_TAIL_CHARS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How to start one server, and how to ask it; `port` is on the loopback."""

    name: str
    argv: tuple[str, ...]
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] = field(default_factory=dict)

    @property
    def completions(self) -> Completions:
        return Completions(f"http://127.0.0.1:{self.port}/v1/completions", dict(self.headers), dict(self.body))


@dataclass(slots=True)
class Running:
    """A server that has answered; `start_s` is from its start to its first token, memory is of all its processes."""

    server: Server
    start_s: float
    peak_pss_bytes: int = 0


@contextmanager
def running(server: Server, log: Path) -> Iterator[Running]:
    """Start a server, wait for its first token, give it, and end all of its processes.

    Raises `RuntimeError` with the end of its log when it does not come to answer.
    """
    started_s = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            server.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(server.environment),
            process_group=0,
        )
    stopped = threading.Event()
    try:
        while not server.completions.answers():
            if process.poll() is not None or time.monotonic() - started_s > START_TIMEOUT_S:
                raise RuntimeError(f"{server.name} did not come to answer:\n{_tail(log)}")
            time.sleep(POLL_S)
        server_is_up = Running(server, time.monotonic() - started_s)
        watching = threading.Thread(target=_watch_memory, args=(process.pid, server_is_up, stopped))
        watching.start()
        try:
            yield server_is_up
        finally:
            stopped.set()
            watching.join()
    finally:
        _stop(process)


def _watch_memory(pid: int, up: Running, stopped: threading.Event) -> None:
    while not stopped.wait(MEMORY_EVERY_S):
        up.peak_pss_bytes = max(up.peak_pss_bytes, _pss_bytes(pid))


def _pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process and all below it; those that are gone count nothing."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_full_info().pss
    except psutil.NoSuchProcess:
        pass
    return total


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and whoever of its process group outlives it, as the workers of one that died do."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-LOG_TAIL_CHARS:]
