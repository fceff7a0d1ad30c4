"""A forecast beside what was observed: each figure, how far the model is off it, and whether it holds its target."""

from collections.abc import Iterator
from dataclasses import dataclass

from sarathictl import units
from sarathictl.state.forecast import (
    EXTREMES,
    TBT_P99,
    TOKENS_PER_S,
    TRUSTED_ERROR,
    TTFT_P50,
    TTFT_P95,
    Row,
    error_of,
    told_extremes,
)
from sarathid.protocol.changes import Figures
from sarathid.protocol.plan import Planned
from sarathid.protocol.slo import SLO

COMPARED = (TBT_P99, TTFT_P50, TTFT_P95, TOKENS_PER_S)


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure in words: as it was observed, as the model replays it, and as it would have been.

    `change` is from the replay of what was in force, as a share; `is_held` says whether what would have been holds the
    target, None without one; `error` is how far the replay is off what was observed, as a share, None if unknown.
    """

    name: str
    observed: str
    replayed: str
    expected: str
    change: float | None
    error: float | None
    is_held: bool | None

    @property
    def is_trusted(self) -> bool:
        """Whether the model tells this figure well enough to go by."""
        return self.error is None or abs(self.error) <= TRUSTED_ERROR


def compare(planned: Planned) -> list[Compared]:
    """Return the figures of the only candidate of a plan."""
    (forecast,) = planned.forecasts
    rows = (*COMPARED, *told_extremes(planned))
    return [_compared(row, planned, forecast.figures, forecast.settings.slo) for row in rows]


def _compared(row: Row, planned: Planned, expected: Figures, slo: SLO) -> Compared:
    before, after = row.value(planned.replayed), row.value(expected)
    target_s = {TBT_P99: slo.tbt_s, TTFT_P95: slo.ttft_s}.get(row)
    return Compared(
        name=row.name,
        observed=row.shown(row.value(planned.observed)),
        replayed=row.shown(before),
        expected=row.shown(after),
        change=None if not before or after is None else after / before - 1.0,
        error=None if row in EXTREMES else error_of(row, planned),
        is_held=None if target_s is None or after is None else after <= target_s,
    )


def said_and_measured(said: Figures | None, measured: Figures | None, slo: SLO) -> Iterator[tuple[str, str, bool]]:
    """Yield each figure's name, `"94 ms said, 97 ms measured"`, and whether what was measured holds its target."""
    for row, target_s in ((TBT_P99, slo.tbt_s), (TTFT_P95, slo.ttft_s)):
        values = ((verb, row.value(figures)) for verb, figures in (("said", said), ("measured", measured)) if figures)
        words = [f"{units.duration(value)} {verb}" for verb, value in values if value is not None]
        seen_s = None if measured is None else row.value(measured)
        if words:
            yield row.name, ", ".join(words), seen_s is None or target_s is None or seen_s <= target_s
