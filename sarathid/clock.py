"""Where time comes from, so that a run can be replayed under a virtual clock."""

import time
from typing import Protocol


def wall_clock_offset_s() -> float:
    """Return what monotonic seconds lack to seconds since the epoch."""
    return time.time() - time.monotonic()


class Clock(Protocol):
    """A source of monotonic time."""

    def now_s(self) -> float:
        """Return seconds since an arbitrary, fixed moment."""
        ...


class Timer(Clock, Protocol):
    """A clock that can be waited on."""

    def wait_until(self, time_s: float) -> None:
        """Return when the clock shows `time_s` or later."""
        ...


class MonotonicClock:
    """The machine's monotonic clock, the same in every process of one boot."""

    def now_s(self) -> float:
        return time.monotonic()

    def wait_until(self, time_s: float) -> None:
        """Sleep until `time_s`, not at all if that is past."""
        time.sleep(max(0.0, time_s - self.now_s()))


class VirtualClock:
    """A clock that stands still until somebody moves it."""

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Move the clock forward by a non-negative number of seconds."""
        assert seconds >= 0.0
        self._now_s += seconds

    def wait_until(self, time_s: float) -> None:
        """Move to `time_s` at once, unless that is past."""
        self._now_s = max(self._now_s, time_s)
