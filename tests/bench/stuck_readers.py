"""What clients that stopped reading cost: `python -m tests.bench.stuck_readers [--model MODEL]`.

Ten streams run all the time. In A their readers read; in B they do not any more, nor do ten subscribers of the stats
stream, and what the kernel and the daemon hold for them is full. Prints, of ten A B pairs, the CPU time of the daemon
and its engine by iteration, and what B adds in shares of an iteration's duration, with the interval of 95 %.
"""

import argparse
import contextlib
import json
import math
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import zmq

from sarathid.paths import API_SOCKET, STATS_SOCKET
from tests.end_to_end.running_daemon import RunningDaemon, serving

NUM_PAIRS = 10
NUM_READERS = 10
NUM_OUTPUT_TOKENS = 3000
FILLING_S = 10.0  # and under the 30 s after which a stuck reader is dropped
MEASURED_S = 5.0
STUDENT_T = 2.262  # 95 %, of ten pairs


@contextmanager
def readers(daemon: RunningDaemon, *, stuck: bool) -> Iterator[None]:
    """Have streams run, whose readers read, or do not."""
    asked = {"prompt": [1, 2, 3], "max_tokens": NUM_OUTPUT_TOKENS, "ignore_eos": True, "return_token_ids": True}
    body = json.dumps({**asked, "stream": True}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(NUM_READERS)]
        for connection in connections:
            connection.connect(os.fspath(daemon.runtime_dir / API_SOCKET))
            connection.sendall(head + body)
        threads = [] if stuck else [threading.Thread(target=_read, args=(connection,)) for connection in connections]
        for thread in threads:
            thread.start()
        yield
        for connection in connections:
            connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def _read(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass


@contextmanager
def stuck_subscribers(daemon: RunningDaemon) -> Iterator[None]:
    """Subscribe to all records, and take none of them."""
    with zmq.Context() as context, contextlib.ExitStack() as stack:
        for _ in range(NUM_READERS):
            subscriber = stack.enter_context(context.socket(zmq.SUB))
            subscriber.set_hwm(1)
            subscriber.subscribe(b"")
            subscriber.connect(f"ipc://{daemon.runtime_dir}/{STATS_SOCKET}")
        yield


def measure(daemon: RunningDaemon) -> tuple[float, float]:
    """Return the CPU seconds and the seconds of an iteration."""
    processes = [psutil.Process(daemon.process.pid), psutil.Process(daemon.engine_pid())]

    def spent() -> tuple[float, float, int]:
        cpu_s = sum(sum(process.cpu_times()[:2]) for process in processes)
        return cpu_s, time.monotonic(), daemon.status().num_iterations

    before = spent()
    time.sleep(MEASURED_S)
    after = spent()
    num_iterations = after[2] - before[2]
    return (after[0] - before[0]) / num_iterations, (after[1] - before[1]) / num_iterations


def pair(daemon: RunningDaemon) -> tuple[float, float, float]:
    """Return the CPU seconds of an iteration in A and in B, and how long one of A is."""
    with readers(daemon, stuck=False):
        time.sleep(1.0)
        cpu_a_s, iteration_s = measure(daemon)
    with stuck_subscribers(daemon), readers(daemon, stuck=True):
        time.sleep(FILLING_S)
        cpu_b_s, _ = measure(daemon)
    return cpu_a_s, cpu_b_s, iteration_s


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", help="a model that computes [a simulated device]")
    model = parser.parse_args().model
    flags = ("--simulate", "a100/mistral-7b-tp1") if model is None else ("--model", model)
    added = []
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory) / "run", *flags) as daemon:
        for _ in range(NUM_PAIRS):
            cpu_a_s, cpu_b_s, iteration_s = pair(daemon)
            added.append((cpu_b_s - cpu_a_s) / iteration_s)
            costs = f"A {cpu_a_s * 1e6:.0f} us, B {cpu_b_s * 1e6:.0f} us of CPU an iteration"
            print(f"{costs} of {iteration_s * 1e3:.1f} ms: {added[-1]:+.2%}", flush=True)
    half = STUDENT_T * statistics.stdev(added) / math.sqrt(len(added))
    print(f"B adds {statistics.mean(added):+.2%} of an iteration, within {half:.2%}")


if __name__ == "__main__":
    main()
