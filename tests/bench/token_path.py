"""How long a token takes from the engine to its client: `python -m tests.bench.token_path [--streams N] [FLAG ...]`.

Starts a daemon with FLAGs of `sarathid serve`, has N streams decode, and prints the time between the moment that an
iteration has its tokens and the one that a client has read each of them, and of the iterations what is not the model's:
scheduling, telling, and what lies between two.
"""

import argparse
import contextlib
import json
import os
import selectors
import socket
import statistics
import tempfile
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from sarathid.paths import API_SOCKET
from sarathid.protocol.stats import IterationStats, StreamRecord
from tests.end_to_end.running_daemon import RunningDaemon, serving

NUM_STREAMS = 32
NUM_TOKENS = 100
NUM_UNSTEADY = 10  # iterations at either end in which not all streams decode
PERCENTILES = (50, 90, 99)


class Reader:
    """Reads many streamed answers in one thread, and notes when it had read each event."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self._socket_path = os.fspath(daemon.runtime_dir / API_SOCKET)

    def read(self, num_streams: int) -> list[float]:
        """Return the monotonic moments at which the tokens of so many streams were there, in order."""
        moments: list[float] = []
        with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
            for index in range(num_streams):
                connection = stack.enter_context(socket.socket(socket.AF_UNIX))
                connection.connect(self._socket_path)
                connection.sendall(request(index, NUM_TOKENS))
                selector.register(connection, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    assert isinstance(key.fileobj, socket.socket)
                    received = key.fileobj.recv(1 << 16)
                    assert received, "the daemon ended an answer early"
                    moments += [time.monotonic()] * received.count(b'"token_ids":[')
                    if b"data: [DONE]" in received:
                        selector.unregister(key.fileobj)
        return moments


def request(index: int, num_tokens: int) -> bytes:
    """Return a request for a stream of so many tokens, each with its id."""
    asked = {"prompt": [index + 1, 2, 3], "max_tokens": num_tokens, "ignore_eos": True, "return_token_ids": True}
    body = json.dumps({**asked, "stream": True}).encode()
    return f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Recording:
    """The iterations that a subscriber was told of while it was there."""

    def __init__(self) -> None:
        self.iterations: list[IterationStats] = []
        self._ended = threading.Event()

    @contextlib.contextmanager
    def of(self, daemon: RunningDaemon) -> Iterator[None]:
        with daemon.records() as records:
            thread = threading.Thread(target=self._take, args=(records,))
            thread.start()
            yield
            self._ended.set()
            thread.join()

    def _take(self, records: Iterator[StreamRecord]) -> None:
        while not self._ended.is_set():  # a heartbeat comes every second
            record = next(records)
            if isinstance(record, IterationStats):
                self.iterations.append(record)


def delays_s(moments: Sequence[float], iterations: Sequence[IterationStats]) -> list[float]:
    """Return how long before each moment the latest iteration had had its tokens."""
    made_s = [iteration.tokens_s for iteration in iterations]
    places = [bisect_right(made_s, moment) - 1 for moment in moments]
    return [moment - made_s[place] for moment, place in zip(moments, places, strict=True) if place >= 0]


def percentiles_ms(values_s: Sequence[float]) -> str:
    found = statistics.quantiles(values_s, n=100, method="inclusive")
    return ", ".join(f"P{percent} {found[percent - 1] * 1e3:.2f}" for percent in PERCENTILES) + " ms"


def overheads(iterations: Sequence[IterationStats]) -> Iterator[tuple[str, list[float]]]:
    """Yield what iterations took that was not the model's, by part, in seconds."""
    yield "scheduling", [iteration.schedule_s for iteration in iterations]
    yield "to the model and back", [iteration.execute_s - iteration.stages[0].busy_s for iteration in iterations]
    yield "telling", [iteration.emit_s for iteration in iterations]
    yield "between iterations", [iteration.idle_s for iteration in iterations]


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=NUM_STREAMS, metavar="N")
    arguments, flags = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory) / "run", *flags) as daemon:
        reader, recording = Reader(daemon), Recording()
        reader.read(arguments.streams)
        process = psutil.Process(daemon.process.pid)
        with recording.of(daemon):
            spent_s = -_cpu_s(process)
            moments = reader.read(arguments.streams)
            spent_s += _cpu_s(process)
            time.sleep(1.0)  # the last records come behind the last tokens
    iterations = [iteration for iteration in recording.iterations if iteration.num_decode_tokens == arguments.streams]
    steady = iterations[NUM_UNSTEADY:-NUM_UNSTEADY]
    iteration_s = statistics.median(iteration.duration_s for iteration in steady)
    print(f"{arguments.streams} streams, iterations of {iteration_s * 1e3:.1f} ms")
    print(f"from the engine to the client: {percentiles_ms(delays_s(moments, recording.iterations))}")
    print(f"the daemon's processor time: {spent_s / len(moments) * 1e6:.0f} us a token")
    for what, taken_s in overheads(steady):
        print(f"{what:>22}: {percentiles_ms(taken_s)}")
    total_s = [sum(parts) for parts in zip(*(taken_s for _, taken_s in overheads(steady)), strict=True)]
    print(f"{'all of it':>22}: {percentiles_ms(total_s)}")


if __name__ == "__main__":
    main()
