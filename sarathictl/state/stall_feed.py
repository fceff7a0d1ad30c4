"""The latest stalls in bounded memory, one entry a moment with everybody who waited in it."""

from collections import deque

import msgspec

from sarathid.protocol.stats import StallEvent, TokenGap

MAX_STALLS = 512
SAME_MOMENT_S = 0.25


class StallFeed:
    """Holds stalls as they come; late deliveries, told one request at a time, are joined while they belong together."""

    def __init__(self) -> None:
        self._stalls: deque[StallEvent] = deque(maxlen=MAX_STALLS)

    def append(self, stall: StallEvent) -> None:
        """Add the newest stall."""
        before = self._stalls[-1] if self._stalls else None
        if before is not None and _is_same_delay(before, stall):
            self._stalls[-1] = _joined(before, stall)
        else:
            self._stalls.append(stall)

    @property
    def newest_first(self) -> tuple[StallEvent, ...]:
        return tuple(reversed(self._stalls))

    def num_since(self, time_s: float) -> int:
        """Return how many stalls ended after `time_s`."""
        return sum(stall.time_s > time_s for stall in self._stalls)


def _is_same_delay(before: StallEvent, stall: StallEvent) -> bool:
    is_delivery = before.is_delivery and stall.is_delivery and before.cause is stall.cause
    return is_delivery and 0.0 <= stall.time_s - before.time_s <= SAME_MOMENT_S


def _joined(before: StallEvent, stall: StallEvent) -> StallEvent:
    """Return one stall with the victims of both, worst first, at the moment and with the parts of the worse."""
    worse = max(before, stall, key=lambda one: one.worst_gap_s)
    gaps: dict[int, TokenGap] = {}
    for gap in (*before.victims, *stall.victims):
        known = gaps.setdefault(gap.request_id, gap)
        gaps[gap.request_id] = max(known, gap, key=lambda one: one.tbt_s)
    victims = sorted(gaps.values(), key=lambda gap: -gap.tbt_s)
    return msgspec.structs.replace(worse, victims=tuple(victims))
