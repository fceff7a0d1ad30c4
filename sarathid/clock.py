"""Where time comes from, so that a run can be replayed under a virtual clock."""

import time
from typing import Protocol


class Clock(Protocol):
    """A source of monotonic time."""

    def now_s(self) -> float:
        """Return seconds since an arbitrary, fixed moment."""
        ...


class MonotonicClock:
    """The machine's monotonic clock, the same in every process of one boot."""

    def now_s(self) -> float:
        return time.monotonic()


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
