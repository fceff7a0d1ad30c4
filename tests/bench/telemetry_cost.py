"""What telemetry adds to an iteration: `python -m tests.bench.telemetry_cost [--streams N] [--pairs N] [FLAG ...]`.

Starts a daemon with FLAGs of `sarathid serve` that tells of its iterations in every other window of time, to a
subscriber too, and has N streams decode. Prints the processor time that an iteration takes of the engine and the daemon
together, told and untold: the mean of each window beside those of its neighbours, which makes a pair. With
`--simulate` among the FLAGs no model computes, whose time differs by more from window to window than telemetry takes.
"""

import argparse
import contextlib
import math
import os
import selectors
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from sarathid.paths import API_SOCKET
from tests.bench.muted import WINDOW_S, is_muted
from tests.bench.token_path import request
from tests.end_to_end.running_daemon import RunningDaemon, serving

NUM_STREAMS = 32
NUM_PAIRS = 10
NUM_TOKENS = 7500  # more than there is time for
LEAST_BETWEEN_ITERATIONS_S = 20e-3  # tokens of one iteration follow each other by less
T_95 = {9: 2.262, 14: 2.145, 19: 2.093, 29: 2.045, 39: 2.023}  # Student's, two-sided, by degrees of freedom


class Moment(NamedTuple):
    """The first token of an iteration was read at `now_s`, when `cpu_s` had been spent."""

    now_s: float
    cpu_s: float


class Window(NamedTuple):
    """Processor seconds of an iteration, the mean of those within one window."""

    number: int
    mean_s: float


def moments(daemon: RunningDaemon, num_streams: int, duration_s: float) -> list[Moment]:
    """Have so many streams decode, and note when the tokens of each iteration begin to come."""
    clocks = [_cpu_clock(daemon.process.pid), _cpu_clock(daemon.engine_pid())]
    found: list[Moment] = []
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for index in range(num_streams):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(os.fspath(daemon.runtime_dir / API_SOCKET))
            connection.sendall(request(index, NUM_TOKENS))
            selector.register(connection, selectors.EVENT_READ)
        end_s, read_s = time.monotonic() + duration_s, 0.0
        while read_s < end_s:
            ready = selector.select()
            now_s = time.monotonic()
            if now_s - read_s > LEAST_BETWEEN_ITERATIONS_S:
                found.append(Moment(now_s, sum(map(time.clock_gettime, clocks))))
            for key, _ in ready:
                assert isinstance(key.fileobj, socket.socket)
                assert key.fileobj.recv(1 << 16), "the daemon ended an answer early"
            read_s = time.monotonic()
    return found


def windows(found: Sequence[Moment]) -> list[Window]:
    """Return the windows from the second on, of which the last is not whole."""
    spent: dict[int, list[float]] = {}
    for begin, end in pairwise(found):
        if (number := int(begin.now_s / WINDOW_S)) == int(end.now_s / WINDOW_S):
            spent.setdefault(number, []).append(end.cpu_s - begin.cpu_s)
    return [Window(number, statistics.fmean(spent_s)) for number, spent_s in sorted(spent.items())][1:-1]


def pairs(found: Sequence[Window]) -> Iterator[tuple[float, float]]:
    """Yield what an iteration took in a told window and, on average, in the two untold beside it."""
    for before, middle, behind in zip(found, found[1:], found[2:], strict=False):
        if not is_muted(middle.number * WINDOW_S):
            yield middle.mean_s, (before.mean_s + behind.mean_s) / 2.0


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return a mean, and how far it may be off to either side at 95 %."""
    half = T_95[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values), half


def _cpu_clock(pid: int) -> int:
    """Return the clock of a process's processor time, as `clock_getcpuclockid(3)` does."""
    return ~pid << 3 | 2


def _drain(daemon: RunningDaemon) -> None:
    with contextlib.suppress(AssertionError), daemon.records() as records:
        for _ in records:
            pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=NUM_STREAMS, metavar="N")
    parser.add_argument("--pairs", type=int, default=NUM_PAIRS, choices=[freedom + 1 for freedom in T_95], metavar="N")
    arguments, flags = parser.parse_known_args()
    prefix = (sys.executable, "-m", "tests.bench.muted")
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory) / "run", *flags, prefix=prefix) as daemon:
        threading.Thread(target=_drain, args=(daemon,), daemon=True).start()
        found = windows(moments(daemon, arguments.streams, (2 * arguments.pairs + 4) * WINDOW_S))
    compared = list(pairs(found))[-arguments.pairs :]
    assert len(compared) == arguments.pairs, "too few windows"
    for told_s, untold_s in compared:
        print(f"told {told_s * 1e3:7.2f} ms, untold {untold_s * 1e3:7.2f} ms")
    mean_s, half_s = interval([told_s - untold_s for told_s, untold_s in compared])
    share, half_share = interval([told_s / untold_s - 1.0 for told_s, untold_s in compared])
    print(f"telemetry adds {mean_s * 1e6:.0f} us (+-{half_s * 1e6:.0f} at 95 %) of processor time to an iteration")
    print(f"which is {share:.2%} (+-{half_share:.2%}) of it")


if __name__ == "__main__":
    main()
