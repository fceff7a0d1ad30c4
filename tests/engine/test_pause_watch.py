"""A child process is stopped and goes on, as its parent's watch sees it."""

import math
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from sarathid.engine.pause_watch import watch_pauses
from sarathid.telemetry.pauses import Pauses
from sarathid.telemetry.span import Span

PATIENCE_S = 20.0


class AwaitedPauses(Pauses):
    """Pauses that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun = threading.Event()
        self.has_ended = threading.Event()

    def begin(self, time_s: float) -> None:
        super().begin(time_s)
        self.has_begun.set()

    def end(self, time_s: float) -> None:
        super().end(time_s)
        self.has_ended.set()


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(("sleep", "600")) as process:
        yield process
        process.kill()


def test_a_stop_is_noted_from_its_begin_to_its_end(child: "subprocess.Popen[bytes]") -> None:
    pauses = AwaitedPauses()
    watch = watch_pauses(child.pid, pauses)
    asked_s = time.monotonic()
    child.send_signal(signal.SIGSTOP)
    assert pauses.has_begun.wait(PATIENCE_S)
    assert pauses.seconds_within(Span(asked_s, math.inf)) == math.inf
    child.send_signal(signal.SIGCONT)
    assert pauses.has_ended.wait(PATIENCE_S)
    went_on_s = time.monotonic()
    child.kill()
    child.wait()
    watch.join(PATIENCE_S)
    assert 0.0 < pauses.seconds_within(Span(0.0, math.inf)) <= went_on_s - asked_s
    assert pauses.seconds_within(Span(0.0, asked_s)) == 0.0
    assert pauses.seconds_within(Span(went_on_s, math.inf)) == 0.0


def test_who_is_killed_while_stopped_is_stopped_no_more(child: "subprocess.Popen[bytes]") -> None:
    pauses = AwaitedPauses()
    watch = watch_pauses(child.pid, pauses)
    child.send_signal(signal.SIGSTOP)
    assert pauses.has_begun.wait(PATIENCE_S)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    watch.join(PATIENCE_S)
    assert not watch.is_alive()
    assert 0.0 < pauses.seconds_within(Span(0.0, math.inf)) < math.inf
