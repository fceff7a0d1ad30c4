"""The clock by which a daemon's records give their times."""

from sarathictl.client.control import ControlAsk
from sarathid.clock import Clock, MonotonicClock
from sarathid.protocol.control import GetStatus, Status


class DaemonClock:
    """The monotonic clock of another machine, as this one's and what lies between the two."""

    def __init__(self, offset_s: float, clock: Clock | None = None) -> None:
        self._offset_s = offset_s
        self._clock = clock or MonotonicClock()

    def now_s(self) -> float:
        return self._clock.now_s() + self._offset_s


def clock_of(ask: ControlAsk) -> DaemonClock:
    """Return a daemon's clock, as well as half a question's round trip tells it; raises what `ask` raises."""
    clock = MonotonicClock()
    asked_s = clock.now_s()
    status = ask(GetStatus(), Status)
    return DaemonClock(status.time_s - (asked_s + clock.now_s()) / 2.0)
