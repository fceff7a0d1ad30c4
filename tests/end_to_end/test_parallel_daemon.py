"""A daemon whose model is on several ranks: streams outlive each of them, and nothing outlives the daemon."""

import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.running_daemon import STOP_TIMEOUT_S, RunningDaemon, serving, wait_until
from tests.models.tiny import save_speaking_model

NUM_STREAMS = 16
NUM_TOKENS = 120


@pytest.fixture(scope="module")
def speaking_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose words are the numbers of its tokens."""
    return save_speaking_model(tmp_path_factory.mktemp("models") / "tiny")


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


@contextmanager
def serving_tiny(path: Path, directory: Path, *flags: str) -> Iterator[RunningDaemon]:
    flags = ("--model", str(path), "--device", "cpu", "--threads", "1", "--slo-tbt", "off", "--budget", "64", *flags)
    with serving(directory / "run", *flags) as daemon:
        yield daemon


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


def test_streams_go_on_behind_a_rank_that_is_killed(speaking_path: Path, tmp_path: Path) -> None:
    with serving_tiny(speaking_path, tmp_path, "--pp", "2") as daemon:
        reason, _ = lose(daemon, 1, signal.SIGKILL)
        assert "rank 1 was killed by SIGKILL" in reason
        children = psutil.Process(daemon.process.pid).children(recursive=True)
        daemon.process.kill()
        assert not psutil.wait_procs(children, STOP_TIMEOUT_S)[1]


@pytest.mark.long
@pytest.mark.parametrize("victim", range(4))
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=lambda how: how.name)
def test_streams_go_on_behind_any_rank(
    speaking_path: Path, tmp_path: Path, how: signal.Signals, victim: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving_tiny(speaking_path, tmp_path, "--tp", "2", "--pp", "2") as daemon:
        reason, noticed_s = lose(daemon, victim, how)
        with capsys.disabled():
            print(f"\nrank {victim}, {how.name}: noticed after {noticed_s:.2f} s: {reason}")
        assert f"rank {victim} was killed" in reason or "said nothing for" in reason
