"""What goes to the terminal, and how long it waits to get there."""

from collections import deque
from dataclasses import dataclass

from sarathid.clock import Clock

SPAN_S = 10.0
MOST_WAITED_S = 1.0  # of the last SPAN_S: less may be a processor that others have
MOST_BYTES_PER_S = 20_000.0  # over a network
_STUCK_AFTER_S = 0.1


@dataclass(slots=True)
class _Second:
    """What ended in one second of the clock."""

    number: int
    waited_s: float = 0.0
    num_bytes: int = 0


class Outflow:
    """The latest writes to a terminal, which is another machine's where it `is_remote`.

    One thread notes them, another asks.
    """

    def __init__(self, clock: Clock, *, is_remote: bool = False) -> None:
        self._clock = clock
        self._is_remote = is_remote
        self._since_s = clock.now_s()
        self._pending_since_s: float | None = None
        self._seconds: deque[_Second] = deque(maxlen=int(SPAN_S))

    def begin(self) -> None:
        """Note that a write begins."""
        self._pending_since_s = self._clock.now_s()

    def end(self, num_bytes: int) -> None:
        """Note that the write which has begun is over."""
        begun_s, self._pending_since_s = self._pending_since_s, None
        if begun_s is None:
            return
        now_s, seconds = self._clock.now_s(), self._seconds
        if not seconds or seconds[-1].number != int(now_s):
            seconds.append(_Second(int(now_s)))
        second = seconds[-1]
        second.waited_s += now_s - begun_s
        second.num_bytes += num_bytes

    @property
    def is_stuck(self) -> bool:
        """Whether a write waits: what is drawn now would wait behind it."""
        since_s = self._pending_since_s
        return since_s is not None and self._clock.now_s() - since_s > _STUCK_AFTER_S

    @property
    def is_too_much(self) -> bool:
        """Whether the terminal is slower than what it is sent, or is sent much over a network all the time."""
        now_s = self._clock.now_s()
        seconds = [second for second in tuple(self._seconds) if second.number > now_s - SPAN_S]
        pending_since_s = self._pending_since_s
        pending_s = 0.0 if pending_since_s is None else now_s - pending_since_s
        if pending_s + sum([second.waited_s for second in seconds]) > MOST_WAITED_S:
            return True
        is_sustained = self._is_remote and now_s - self._since_s >= SPAN_S
        return is_sustained and sum([second.num_bytes for second in seconds]) > MOST_BYTES_PER_S * SPAN_S

    def forget(self) -> None:
        """Begin anew."""
        self._since_s = self._clock.now_s()
        self._seconds = deque(maxlen=int(SPAN_S))  # another: who notes a write may hold the one before
