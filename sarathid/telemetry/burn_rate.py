"""How fast the latency objectives use up the misses that they allow, over several windows at once.

The burn rate is that of the Site Reliability Workbook (Beyer et al. 2018, chapter 5): the share of misses in a window
over the share that the objective allows. At 1 all of it is used up exactly; a fast burn shows in a short window, a slow
one in a long one, and an alert asks both of a pair, so that it neither comes late nor stays.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

OBJECTIVES = {"tbt": 0.99, "ttft": 0.95}
"""The share of times within the target, by what is timed, as `SLO` has it."""

WINDOWS_S = {"5m": 300.0, "30m": 1800.0, "1h": 3600.0, "6h": 21_600.0}

SLICE_S = 60.0
MAX_SLICES = int(max(WINDOWS_S.values()) / SLICE_S) + 1


@dataclass(frozen=True, slots=True)
class Slice:
    """Events and misses by what is timed, of the minute that begins `index` minutes after the clock's zero."""

    index: int
    events: Mapping[str, int]
    misses: Mapping[str, int]


class BurnRates:
    """Counts events and misses since the start, and by the minute for the longest window."""

    def __init__(self) -> None:
        self.num_events: Counter[str] = Counter()
        self.num_misses: Counter[str] = Counter()
        self._slices: deque[tuple[int, Counter[str], Counter[str]]] = deque(maxlen=MAX_SLICES)

    @property
    def slices(self) -> list[Slice]:
        """The minutes that are remembered, oldest first."""
        return [Slice(index, dict(events), dict(misses)) for index, events, misses in self._slices]

    def restore(self, slices: Iterable[Slice], now_s: float) -> None:
        """Take in minutes before the first that was counted here; those that are yet to come are left out."""
        assert not self._slices, "what comes first is restored first"
        for part in sorted(slices, key=lambda part: part.index):
            if part.index <= now_s // SLICE_S:
                self._slices.append((part.index, Counter(part.events), Counter(part.misses)))

    def count(self, name: str, time_s: float, num_events: int, num_misses: int) -> None:
        """Take in what happened at `time_s`; times must not go back by more than a minute."""
        self.num_events[name] += num_events
        self.num_misses[name] += num_misses
        index = int(time_s // SLICE_S)
        if not self._slices or self._slices[-1][0] < index:
            self._slices.append((index, Counter(), Counter()))
        _, events, misses = self._slices[-1]
        events[name] += num_events
        misses[name] += num_misses

    def rates(self, name: str, now_s: float) -> dict[str, float]:
        """Return the burn rate in each window that had an event."""
        found = {window: self._share_missed(name, now_s, span_s) for window, span_s in WINDOWS_S.items()}
        allowed = 1.0 - OBJECTIVES[name]
        return {window: share / allowed for window, share in found.items() if share is not None}

    def _share_missed(self, name: str, now_s: float, span_s: float) -> float | None:
        oldest = int((now_s - span_s) // SLICE_S)
        within = [(events[name], misses[name]) for index, events, misses in self._slices if index > oldest]
        num_events = sum([events for events, _ in within])
        return sum([misses for _, misses in within]) / num_events if num_events else None
