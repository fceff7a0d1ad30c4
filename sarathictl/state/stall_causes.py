"""Stalls by their cause: how many, how many waited, and for how long."""

from collections.abc import Iterable
from dataclasses import dataclass

from sarathid.protocol.stats import StallCause, StallEvent


@dataclass(frozen=True, slots=True)
class CauseTotal:
    """`num_waits` counts the victims, `waited_s` is what they waited together, `worst_s` the longest of it."""

    cause: StallCause
    num_stalls: int = 0
    num_waits: int = 0
    waited_s: float = 0.0
    worst_s: float = 0.0

    def plus(self, stall: StallEvent) -> "CauseTotal":
        """Return the total with one stall more."""
        return CauseTotal(
            self.cause,
            self.num_stalls + 1,
            self.num_waits + len(stall.victims),
            self.waited_s + sum(victim.tbt_s for victim in stall.victims),
            max(self.worst_s, stall.worst_gap_s),
        )


def totals_by_cause(stalls: Iterable[StallEvent]) -> list[CauseTotal]:
    """Return a total for every cause that there was, the one that cost most first."""
    totals: dict[StallCause, CauseTotal] = {}
    for stall in stalls:
        totals[stall.cause] = totals.get(stall.cause, CauseTotal(stall.cause)).plus(stall)
    return sorted(totals.values(), key=lambda total: -total.waited_s)
