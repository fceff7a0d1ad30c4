"""Loses ranks of a daemon under streams, which must not notice."""

import json
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil

from tests.end_to_end.running_daemon import RunningDaemon, wait_until

NUM_STREAMS = 16
NUM_TOKENS = 120
EXACT_IN_PARTS: dict[str, Any] = {"intermediate_size": 96}  # halves of 48, a multiple of 16, are summed in integers


def rank_pids(daemon: RunningDaemon) -> list[int]:
    """Return the processes of the ranks, in their order, as the engine tells of them."""
    engine = daemon.status().engine
    assert engine is not None
    found = next(match for note in engine.notes if (match := re.search(r"processes ([\d, ]+)$", note)))
    return [int(pid) for pid in found[1].split(", ")]


class Streams:
    """Sixteen greedy completions that run beside the test."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self._daemon = daemon
        self._pool = ThreadPoolExecutor(NUM_STREAMS)
        self._started = threading.Semaphore(0)
        self._texts = [self._pool.submit(self._complete, index) for index in range(NUM_STREAMS)]
        for _ in range(NUM_STREAMS):
            self._started.acquire()

    def texts(self) -> list[str]:
        """Return every answer, when all have ended."""
        with self._pool:
            return [text.result() for text in self._texts]

    def _complete(self, index: int) -> str:
        body = {
            "prompt": [index + 3] * 5,
            "max_tokens": NUM_TOKENS,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
        }
        text = ""
        with (
            self._daemon.http() as client,
            client.stream("POST", "/v1/completions", json=body | {"stream": True}) as got,
        ):
            for line in got.iter_lines():
                if line.startswith("data: {"):
                    text += json.loads(line.removeprefix("data: "))["choices"][0]["text"]
                    self._started.release()
        return text


def lose(daemon: RunningDaemon, victim: int, how: signal.Signals) -> tuple[str, float]:
    """Lose rank `victim` under streams that must not notice; returns why, and after how long, the daemon said so."""
    undisturbed = Streams(daemon).texts()
    pids, num_lost = rank_pids(daemon), len(losses(daemon))
    streams = Streams(daemon)
    os.kill(pids[victim], how)
    start_s = time.monotonic()
    wait_until(lambda: len(losses(daemon)) > num_lost, "the daemon says that an engine is lost")
    noticed_s = time.monotonic() - start_s
    assert streams.texts() == undisturbed
    assert not set(pids) & set(rank_pids(daemon))
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), "the old ranks are gone")
    return losses(daemon)[-1], noticed_s


def losses(daemon: RunningDaemon) -> list[str]:
    """Return what the log says of engines that were lost."""
    return [line for line in daemon.log.splitlines() if line.endswith("starting another one")]
