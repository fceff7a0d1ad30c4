"""How fast a device was, taken apart: by the kind of iteration, by time, and what is left."""

from collections.abc import Iterator, Sequence
from statistics import median

from sarathid.costmodel.correction import Regime
from sarathid.executor.pace import Level, Pace, RegimePace
from sarathid.telemetry.recent_load import SliceOfLoad


def fit_pace(slices: Sequence[SliceOfLoad], start_s: float) -> tuple[float, Pace | None]:
    """Return how many times the profile's time iterations took, by their median, and how they varied around that.

    A slice's level is the median of its iterations over what is usual for their regime; times count from `start_s`.
    Without an iteration the answer is 1 and None.
    """
    by_regime: dict[Regime, list[float]] = {}
    for found in slices:
        for regime, factors in found.factors.items():
            by_regime.setdefault(regime, []).extend(factors)
    usual = {regime: median(factors) for regime, factors in by_regime.items() if factors}
    if not usual:
        return 1.0, None
    correction = median([factor for factors in by_regime.values() for factor in factors])
    levels = {found.start_s: _level(found, usual) for found in slices if any(found.factors.values())}
    rest = {
        regime: [
            factor / levels[found.start_s] / correction for found in slices for factor in found.factors.get(regime, ())
        ]
        for regime in usual
    }
    pace = Pace(
        regimes=tuple(_regime_paces(rest)),
        levels=tuple(Level(slice_s - start_s, level) for slice_s, level in levels.items()),
    )
    return correction, pace


def _level(found: SliceOfLoad, usual: dict[Regime, float]) -> float:
    return median([factor / usual[regime] for regime, factors in found.factors.items() for factor in factors])


def _regime_paces(factors: dict[Regime, list[float]]) -> Iterator[RegimePace]:
    for regime, seen in sorted(factors.items()):
        yield RegimePace(has_decodes=regime.has_decodes, size_class=regime.size_class, factors=tuple(seen))
