"""How past forecasts came true: what operators go by when they read the next one."""

from collections.abc import Iterable
from dataclasses import dataclass

from sarathictl.state.forecast import TBT_P99, TRUSTED_ERROR
from sarathid.protocol.revisions import Revision


@dataclass(frozen=True, slots=True)
class ForecastRecord:
    """Of `num_measured` changes that were forecast and measured, `num_true` had the TBT P99 that was said."""

    num_measured: int
    num_true: int


def record_of(history: Iterable[Revision]) -> ForecastRecord:
    """Return how many forecasts of the TBT P99 came true within the error that makes one worth trusting."""
    errors = [error for revision in history if (error := _error(revision)) is not None]
    return ForecastRecord(len(errors), sum(abs(error) <= TRUSTED_ERROR for error in errors))


def _error(revision: Revision) -> float | None:
    if revision.predicted is None or revision.measured is None:
        return None
    said, measured = TBT_P99.value(revision.predicted), TBT_P99.value(revision.measured)
    return None if said is None or not measured else said / measured - 1.0
