"""What the console costs, in CPU seconds of its own process: `python -m tests.bench.console_cost`.

A stand-in for a daemon publishes iterations of 64 decodes, 50 a second, beside long prompts, and `sarathictl` runs as
an operator runs it, in a terminal of 120x36, its sources compiled beforehand as `pip install` does. One-off figures are
the median of `--runs` runs. Machines and their load differ: what importing Textual takes here is printed beside them.
The peers' were measured at 120x36 against one scripted engine with 1 s between pictures; their first paint is the first
text, ours the first with data.
"""

import argparse
import fcntl
import os
import pty
import resource
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil

from sarathid.protocol.control import (
    MAX_HISTORY,
    GetHistory,
    GetSnapshot,
    GetStatus,
    History,
    ListRequests,
    RequestList,
    RequestStatus,
    Snapshot,
)
from sarathid.protocol.roles import Role
from sarathid.protocol.stats import IterationStats, StreamRecord
from tests.sarathictl.records import PaperEngine, make_request_status, make_settings, make_snapshot, make_status
from tests.sarathictl.stub_daemon import StubDaemon

NUM_REQUESTS = 64
ITERATIONS_PER_S = 50.0
PAPER_ITERATION_S = 0.076  # on average: of 64 decodes, every four seconds beside chunks of a prompt
STREAM_TOKENS = 400
PAST_S = 10.0
COLUMNS, LINES = 120, 36
STEADY_S = 20.0
SETTLE_S = 5.0
SAMPLE = b"decode"  # stands in the picture when there is data in it

PEERS = """
peer                       CPU %   RSS MB   tty B/s   first paint, CPU s
vllm-htop                    0.7       27     3 809   0.22
mtop                         1.2       28        31   0.24
vllmpytop (4 Hz)             2.4       30     2 690   0.20
vllmstat (Textual)           5.2       55    23 949   0.96
vllmops (Textual)           11.3       58     6 373   0.85
vllm-top                    11.2       32     2 365   0.28
vllm-mon (Textual)          19.2       70    12 127   2.40
an empty Textual app         0.1       33         0   0.39
one shots, CPU s: vllm-htop --once json 0.24, mtop --json 0.30, vllmstat --once --json 0.68"""


@contextmanager
def busy_daemon(directory: Path) -> Iterator[None]:
    """Publish iterations in real time, as a daemon under load would."""
    engine = PaperEngine(
        make_settings(256),
        num_streams=NUM_REQUESTS,
        stream_tokens=STREAM_TOKENS,
        start_s=time.monotonic() - PAST_S,
        pace=1.0 / ITERATIONS_PER_S / PAPER_ITERATION_S,
    )
    newest = deque(only_iterations(engine.run(until_s=time.monotonic())), MAX_HISTORY)
    status = msgspec.structs.replace(make_status(make_settings(256)), role=Role.OPERATE, num_running=NUM_REQUESTS)

    def rows() -> tuple[RequestStatus, ...]:
        return tuple(make_request_status(request.request_id) for request in tuple(engine.requests))

    def snapshot(op: GetSnapshot) -> Snapshot:
        taken = make_snapshot(iterations=tuple(newest)[-op.num_iterations :], requests=rows())
        return msgspec.structs.replace(taken, status=status, stream_positions=stub.stream_positions)

    answers: dict[Any, Any] = {
        GetStatus: lambda _: status,
        GetSnapshot: snapshot,
        ListRequests: lambda _: RequestList(requests=rows()),
        GetHistory: lambda _: History(revisions=()),
    }
    is_over = threading.Event()

    def publish() -> None:
        while not is_over.is_set():
            records = list(engine.step())
            is_over.wait(max(0.0, engine.now_s - time.monotonic()))
            newest.extend(only_iterations(records))
            stub.publish(*records)

    with StubDaemon(directory, answers) as stub:
        publisher = threading.Thread(target=publish)
        publisher.start()
        try:
            yield
        finally:
            is_over.set()
            publisher.join()


def only_iterations(records: Iterable[StreamRecord]) -> Iterator[IterationStats]:
    return (record for record in records if isinstance(record, IterationStats))


class Console:
    """`sarathictl top` in a terminal of its own."""

    def __init__(self, directory: Path, *flags: str) -> None:
        self.num_bytes = 0
        self._seen = b""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
            program = os.fspath(Path(sys.executable).with_name("sarathictl"))
            os.execve(program, [program, "-A", os.fspath(directory), "top", *flags], environment)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.process = psutil.Process(self.pid)

    @property
    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def read_until(self, mark: bytes, timeout_s: float) -> bool:
        """Read what it draws until `mark` was in it or the time is up."""
        end_s = time.monotonic() + timeout_s
        while mark not in self._seen and (left_s := end_s - time.monotonic()) > 0.0:
            if select.select([self._terminal], [], [], left_s)[0]:
                try:
                    data = os.read(self._terminal, 1 << 16)
                except OSError:  # it has ended
                    return False
                self.num_bytes += len(data)
                self._seen = (self._seen + data)[-(1 << 16) :]
        return mark in self._seen

    def close(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        self.read_until(b"never", 0.5)
        os.close(self._terminal)
        os.waitpid(self.pid, 0)


def first_paint(directory: Path) -> float:
    """Return the CPU seconds until there is a picture with data in it."""
    console = Console(directory)
    assert console.read_until(SAMPLE, 60.0), "no picture with data"
    cpu_s = console.cpu_s
    console.close()
    return cpu_s


def steady(directory: Path, *flags: str) -> tuple[float, float, float]:
    """Return the share of a core, the bytes a second to the terminal and the MiB of memory at work."""
    console = Console(directory, *flags)
    assert console.read_until(SAMPLE, 60.0), "no picture with data"
    console.read_until(b"never", SETTLE_S)
    cpu_s, num_bytes, began_s = console.cpu_s, console.num_bytes, time.monotonic()
    console.read_until(b"never", STEADY_S)
    seconds = time.monotonic() - began_s
    share, bytes_per_s = (console.cpu_s - cpu_s) / seconds, (console.num_bytes - num_bytes) / seconds
    memory = console.process.memory_info().rss / (1 << 20)
    console.close()
    return share, bytes_per_s, memory


def one_shot(*words: str) -> float:
    """Return the CPU seconds of one call."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = range(parser.parse_args().runs)
    program = os.fspath(Path(sys.executable).with_name("sarathictl"))
    with tempfile.TemporaryDirectory() as name, busy_daemon(Path(name)):
        directory = Path(name)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = os.fspath(directory / "compiled")
        first_paint(directory)
        one_shot(program, "-A", name, "status", "--json")
        calls: dict[str, Callable[[], float]] = {
            "importing textual.app": lambda: one_shot(sys.executable, "-c", "import textual.app"),
            "first paint with data": lambda: first_paint(directory),
            "status --json": lambda: one_shot(program, "-A", name, "status", "--json"),
        }
        for words, call in calls.items():
            print(f"{words:<28} {statistics.median(call() for _ in runs):.2f} CPU s")
        for screen in ("live", "requests"):
            share, bytes_per_s, memory = steady(directory, "--view", screen)
            print(f"top --view {screen:<10} 4 Hz   {share:.1%} of a core, {bytes_per_s:,.0f} B/s, {memory:.0f} MiB")
    print(PEERS)


if __name__ == "__main__":
    main()
