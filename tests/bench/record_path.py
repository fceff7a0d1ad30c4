"""What telling of an iteration costs, and what a console adds to it: `python -m tests.bench.record_path`.

Prints the CPU microseconds of recording, encoding and publishing one iteration of 64 decodes, then what the publisher's
process takes an iteration, ZeroMQ's threads included, with nobody and with `sarathictl top` attached, in turn. Engines
publish nothing themselves: a daemon does, and an attached console adds to that alone.
"""

import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

from sarathid.clock import MonotonicClock
from sarathid.paths import STATS_SOCKET
from sarathid.protocol.codec import encode
from sarathid.protocol.control import GetHistory, GetSnapshot, GetStatus, History, ListRequests, RequestList
from sarathid.protocol.stats import StreamRecord
from sarathid.telemetry.publisher import StatsPublisher
from tests.bench.decoding_run import ITERATIONS_PER_S, DecodingRun
from tests.sarathictl.records import make_snapshot, make_status
from tests.sarathictl.stub_daemon import StubDaemon

NUM_DECODES = 64
NUM_RECORDED = 250
NUM_ROUNDS = 5
ROUND_S = 4.0
SETTLE_S = 3.0


def recorded_iterations() -> tuple[list[StreamRecord], float]:
    """Return the records of many iterations, and the microseconds that one took to be recorded."""
    run = DecodingRun(NUM_DECODES)
    records: list[StreamRecord] = []
    taken_us = []
    for _ in range(NUM_RECORDED):
        computed = run.compute()
        began_ns = time.thread_time_ns()
        stats = run.record(computed)
        taken_us.append((time.thread_time_ns() - began_ns) / 1e3)
        records += [computed.scheduled, stats]
    return records, statistics.median(taken_us)


def encoding_us(records: list[StreamRecord]) -> float:
    """Return the microseconds in which the two records of an iteration are encoded."""
    taken_us = []
    for scheduled, stats in zip(records[::2], records[1::2], strict=True):
        began_ns = time.thread_time_ns()
        encode(scheduled)
        encode(stats)
        taken_us.append((time.thread_time_ns() - began_ns) / 1e3)
    return statistics.median(taken_us)


@contextmanager
def publisher_at(path: Path) -> Iterator[StatsPublisher]:
    """Publish where something else listened until now."""
    path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.fspath(path))
    listener.listen()
    with zmq.Context() as context:
        publisher = StatsPublisher(context, listener, MonotonicClock(), user_ids=[os.getuid()])
        try:
            yield publisher
        finally:
            publisher.close()


def publish_for(seconds: float, publisher: StatsPublisher, records: list[StreamRecord]) -> tuple[float, float]:
    """Publish iterations at their pace; return the microseconds that one took in this thread, and in this process."""
    began_s, process_s, thread_ns = time.monotonic(), time.process_time(), 0
    num_iterations = round(seconds * ITERATIONS_PER_S)
    for number in range(num_iterations):
        first = 2 * (number % NUM_RECORDED)
        began_ns = time.thread_time_ns()
        publisher.publish(records[first])
        publisher.publish(records[first + 1])
        thread_ns += time.thread_time_ns() - began_ns
        time.sleep(max(0.0, began_s + (number + 1) / ITERATIONS_PER_S - time.monotonic()))
    return thread_ns / num_iterations / 1e3, (time.process_time() - process_s) / num_iterations * 1e6


@contextmanager
def attached_console(directory: Path) -> Iterator[None]:
    """Have `top` draw into a terminal that another process reads."""
    command = f"sarathictl -A {directory} top"
    with subprocess.Popen(
        ["script", "-qfc", command, os.devnull],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.terminate()


def main() -> None:
    records, recording_us = recorded_iterations()
    print(f"recorded in {recording_us:.1f} us, encoded in {encoding_us(records):.1f} us an iteration")
    alone, attached = [], []
    status = make_status()
    answers: dict[Any, Any] = {
        GetStatus: lambda _: status,
        GetSnapshot: lambda _: make_snapshot(),
        ListRequests: lambda _: RequestList(requests=()),
        GetHistory: lambda _: History(revisions=()),
    }
    with (
        tempfile.TemporaryDirectory() as name,
        StubDaemon(Path(name), answers) as stub,
        publisher_at(Path(name) / STATS_SOCKET) as publisher,
    ):
        for _ in range(NUM_ROUNDS):
            alone.append(publish_for(ROUND_S, publisher, records))
            num_asked = len(stub.asked)
            with attached_console(Path(name)):
                publish_for(SETTLE_S, publisher, records)
                assert any(isinstance(op, GetSnapshot) for op in stub.asked[num_asked:]), "it did not come up"
                attached.append(publish_for(ROUND_S, publisher, records))
    for words, rounds in (("alone", alone), ("with top", attached)):
        thread_us, process_us = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{words:<10} published in {thread_us:.1f} us an iteration; its process took {process_us:.1f} us")


if __name__ == "__main__":
    main()
