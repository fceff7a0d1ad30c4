"""When each request got its newest token: both ends of a recording keep it, so that most gaps need not be stored."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sarathid.protocol.stats import IterationStats, TokenGap

_TOLERANCE_US = 1  # the ends of a gap are rounded each on its own


@dataclass(frozen=True, slots=True)
class Gaps:
    """Who got a token in an iteration, told by the exceptions from what the clock expects.

    Every request with a token so far gets another one, except those in `without`, or only those in `only` where that
    list is the shorter one. `odd` are the gaps that don't follow, in microseconds.
    """

    without: Sequence[int] = ()
    only: Sequence[int] | None = None
    odd: Sequence[tuple[int, int]] = ()


class TokenClock:
    """Whole microseconds (monotonic) by request, of the requests that have got a token and have not ended."""

    def __init__(self, newest_us: dict[int, int]) -> None:
        self._newest_us = newest_us

    @property
    def newest_s(self) -> dict[int, float]:
        return {request_id: time_us / 1e6 for request_id, time_us in self._newest_us.items()}

    def describe(self, stats: IterationStats, now_us: int) -> Gaps:
        """Return the gaps of an iteration whose tokens came at `now_us`, and note the tokens."""
        known = self._newest_us
        odd = []
        tbt_s, gap_us = 0.0, 0
        for gap in stats.gaps:
            if gap.tbt_s != tbt_s:  # most have that of the one before
                tbt_s, gap_us = gap.tbt_s, round(gap.tbt_s * 1e6)
            newest_us = known.get(gap.request_id)
            if newest_us is None or not -_TOLERANCE_US <= now_us - newest_us - gap_us <= _TOLERANCE_US:
                odd.append((gap.request_id, gap_us))
        told = {gap.request_id for gap in stats.gaps}
        without = known.keys() - told
        is_few = len(without) <= len(told)
        only = None if is_few else tuple(sorted(told & known.keys()))
        self._note(told, stats, now_us)
        return Gaps(tuple(sorted(without)) if is_few else (), only, odd)

    def tell(self, gaps: Gaps, stats: IterationStats, now_us: int) -> tuple[TokenGap, ...]:
        """Return the gaps that were described, and note the tokens."""
        known = self._newest_us
        if gaps.only is not None:
            told = {request_id: now_us - known[request_id] for request_id in gaps.only if request_id in known}
        else:
            told = {request_id: now_us - time_us for request_id, time_us in known.items()}
            for request_id in gaps.without:
                told.pop(request_id, None)
        told.update(gaps.odd)
        self._note(told, stats, now_us)
        return tuple([TokenGap(request_id, gap_us / 1e6) for request_id, gap_us in told.items()])

    def forget(self, request_id: int) -> None:
        """Note that a request ended."""
        self._newest_us.pop(request_id, None)

    def _note(self, told: Iterable[int], stats: IterationStats, now_us: int) -> None:
        self._newest_us.update(dict.fromkeys(told, now_us))
        for first in stats.first_tokens:
            self._newest_us[first.request_id] = now_us
        for request_id in stats.finished:
            self._newest_us.pop(request_id, None)
