"""What goes to the terminal, and how long it waits to get there."""

from collections import deque
from typing import NamedTuple

from sarathid.clock import Clock

SPAN_S = 10.0
MOST_WAITED_S = 1.0  # of the last SPAN_S: less may be a processor that others have
MOST_BYTES_PER_S = 20_000.0  # over a network
_STUCK_AFTER_S = 0.1


class _Write(NamedTuple):
    begun_s: float
    ended_s: float
    num_bytes: int


class Outflow:
    """The latest writes to a terminal, which is another machine's where it `is_remote`.

    One thread notes them, another asks.
    """

    def __init__(self, clock: Clock, *, is_remote: bool = False) -> None:
        self._clock = clock
        self._is_remote = is_remote
        self._since_s = clock.now_s()
        self._pending_since_s: float | None = None
        self._writes: deque[_Write] = deque()

    def begin(self) -> None:
        """Note that a write begins."""
        self._pending_since_s = self._clock.now_s()

    def end(self, num_bytes: int) -> None:
        """Note that the write which has begun is over."""
        begun_s, self._pending_since_s = self._pending_since_s, None
        if begun_s is not None:
            self._writes.append(_Write(begun_s, self._clock.now_s(), num_bytes))

    @property
    def is_stuck(self) -> bool:
        """Whether a write waits: what is drawn now would wait behind it."""
        since_s = self._pending_since_s
        return since_s is not None and self._clock.now_s() - since_s > _STUCK_AFTER_S

    @property
    def is_too_much(self) -> bool:
        """Whether the terminal is slower than what it is sent, or is sent much over a network all the time."""
        now_s = self._clock.now_s()
        from_s = now_s - SPAN_S
        while self._writes and self._writes[0].ended_s <= from_s:
            self._writes.popleft()
        writes = [*self._writes]
        if (pending_since_s := self._pending_since_s) is not None:
            writes.append(_Write(pending_since_s, now_s, 0))
        if sum(each.ended_s - max(from_s, each.begun_s) for each in writes) > MOST_WAITED_S:
            return True
        is_sustained = self._is_remote and self._since_s <= from_s
        return is_sustained and sum(each.num_bytes for each in writes) > MOST_BYTES_PER_S * SPAN_S

    def forget(self) -> None:
        """Begin anew."""
        self._since_s = self._clock.now_s()
        self._writes.clear()
