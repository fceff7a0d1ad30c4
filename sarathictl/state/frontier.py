"""The frontier: what each of several budgets would have given, one latency beside the other."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from sarathictl.state.forecast import TBT_P99, TTFT_P95
from sarathid.protocol.changes import Figures
from sarathid.protocol.plan import Planned
from sarathid.protocol.slo import BudgetChoice
from sarathid.protocol.stats import EngineInfo, EngineSettings

MAX_DOUBLINGS = 6
_LEAST = 32  # tokens; below, a device without tiles gains nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One budget as it would have been; `is_now` for the one in force, None whether a target is held without any."""

    budget: BudgetChoice
    is_now: bool
    tbt_s: float | None
    ttft_s: float | None
    num_stalls: int | None
    holds_tbt: bool | None
    holds_ttft: bool | None


def budgets_to_try(settings: EngineSettings, info: EngineInfo) -> tuple[BudgetChoice, ...]:
    """Return the doublings of a tile that are allowed and nearest to the budget in force; `"auto"` with a target."""
    base = info.tile * math.ceil(max(_LEAST, info.min_token_budget) / info.tile)
    doublings = [base << power for power in range(32) if base << power <= info.max_token_budget]
    nearest = sorted(doublings, key=lambda budget: abs(math.log2(budget / settings.token_budget)))[:MAX_DOUBLINGS]
    doubled: tuple[BudgetChoice, ...] = tuple(sorted(nearest))
    return doubled if settings.slo.tbt_s is None else (*doubled, "auto")


def trials_of(planned: Planned) -> Iterator[Trial]:
    """Yield what was in force, unless it is among the candidates of a plan, and these."""
    current = planned.current
    if all(forecast.settings.budget != current.budget for forecast in planned.forecasts):
        yield _trial(current, planned.replayed, is_now=True)
    for forecast in planned.forecasts:
        yield _trial(forecast.settings, forecast.figures, is_now=forecast.settings.budget == current.budget)


def _trial(settings: EngineSettings, figures: Figures, *, is_now: bool) -> Trial:
    tbt_s, ttft_s, slo = TBT_P99.value(figures), TTFT_P95.value(figures), settings.slo
    return Trial(
        budget=settings.budget,
        is_now=is_now,
        tbt_s=tbt_s,
        ttft_s=ttft_s,
        num_stalls=figures.num_stalls,
        holds_tbt=_holds(tbt_s, slo.tbt_s),
        holds_ttft=_holds(ttft_s, slo.ttft_s),
    )


def _holds(value_s: float | None, target_s: float | None) -> bool | None:
    return None if value_s is None or target_s is None else value_s <= target_s
