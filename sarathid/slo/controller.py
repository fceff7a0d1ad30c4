"""Holds the settings in force and grants each iteration its budget."""

import math
from dataclasses import dataclass

import msgspec

from sarathid.costmodel.correction import CorrectedCostModel
from sarathid.costmodel.features import IterationFeatures
from sarathid.costmodel.forecast import PipelineForecast
from sarathid.errors import ControlRefused
from sarathid.protocol.control import ErrorCode
from sarathid.protocol.slo import SLO, BudgetMode, OverloadMode
from sarathid.protocol.stats import BudgetBound, BudgetPlan, EngineSettings, IterationStats, Overload
from sarathid.protocol.step import ChangeSettings
from sarathid.scheduler.policies.registry import POLICIES
from sarathid.scheduler.token_budget import FixedBudget, TokenBudget
from sarathid.slo.efficiency import Efficiency
from sarathid.slo.headroom import Headroom
from sarathid.slo.overload import OverloadWatch
from sarathid.slo.profiled_budget import WorstCase, profiled_budget
from sarathid.slo.time_budget import TimeBudget

_ANY_ITERATION = IterationFeatures(num_decodes=1, decode_context=1)
_LEAST_PROGRESS = 16  # tokens: fewer would make a prompt take longer than anybody waits
LONGEST_HOLD_S = 30.0
_SCHEDULE_GAIN = 1.0 / 16.0
_OTHERS_DECIDED = (BudgetBound.DEMAND, BudgetBound.HOLD)  # here, since members of an enum are slow to look up


@dataclass(frozen=True, slots=True)
class BudgetBounds:
    """The token budgets that the engine was started for, both ends included."""

    min_tokens: int
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the budget depends on beside the settings.

    `worst_case` is the heaviest decode load there can be, for which a profiled budget is chosen; `tile` the number of
    tokens that the device rounds an iteration up to. `overload` says what becomes of new requests while the decodes
    alone take the target's time.
    """

    bounds: BudgetBounds
    worst_case: WorstCase
    tile: int = 1
    overload: OverloadMode = OverloadMode.HOLD


class SLOController:
    """Every change makes a new revision; a refused one changes nothing.

    `num_tokens` is the budget in tokens: what is set, or, adaptive, what the last iteration came to that could not
    have more.
    """

    def __init__(
        self,
        settings: EngineSettings,
        circumstances: Circumstances,
        cost_model: CorrectedCostModel,
        forecast: PipelineForecast,
    ) -> None:
        self.settings = settings
        self.num_tokens = settings.token_budget
        self._circumstances = circumstances
        self._floor_tokens = max(circumstances.bounds.min_tokens, _LEAST_PROGRESS)
        self._cost_model = cost_model
        self._forecast = forecast
        self._headroom = Headroom()
        self._overload = OverloadWatch(cost_model)
        self._granted: TimeBudget | None = None
        self._held_since_s: float | None = None
        self._can_predict = False
        self._num_prefill_tokens = 0
        self._schedule_s = 0.0
        self._efficiency = Efficiency(cost_model, circumstances.bounds.max_tokens, forecast.num_stages)
        self._fullness = 0.0
        self.resume(settings)

    def grant(self, now_s: float, fullness: float) -> TokenBudget:
        """Return the allowance of an iteration that is put together now, so much of the engine being taken."""
        target_s, around = self._target_s, self._circumstances
        self._fullness = fullness
        if target_s is None:
            self._granted = None
            return FixedBudget(self.settings.token_budget)
        self._granted = TimeBudget(
            self._cost_model,
            self._forecast,
            target_s=self._planned_s(target_s),
            now_s=now_s,
            useful_tokens=self._efficiency.num_tokens,
            ttft_s=self.settings.slo.ttft_s,
            max_tokens=around.bounds.max_tokens,
            floor_tokens=self._floor_tokens,
            tile=around.tile,
            start_tokens=self._likely_tokens,
            holds_back_for_s=target_s if self._holds_back(now_s) else None,
        )
        return self._granted

    def explain(self) -> BudgetPlan | None:
        """Return how the last allowance came about, once a batch has been made of it; None for a fixed one."""
        granted = self._granted
        if granted is None:
            self.num_tokens = self.settings.token_budget
            return None
        if granted.bound not in _OTHERS_DECIDED:
            self.num_tokens = granted.num_tokens
            self._num_prefill_tokens = granted.num_tokens - granted.features.num_decodes
        return BudgetPlan(
            bound=granted.bound,
            planned_s=granted.target_s,
            limit_s=None if granted.limit_s == math.inf else granted.limit_s,
            decode_s=granted.decode_s,
            correction=self._cost_model.factor(granted.features),
            headroom=self._headroom.share,
        )

    def observe(self, stats: IterationStats, decodes: IterationFeatures, num_late: int) -> Overload | None:
        """Learn from an iteration with these decodes, `num_late` of whose tokens missed the target.

        Returns what there is to tell of an overload.
        """
        self._schedule_s += _SCHEDULE_GAIN * (stats.schedule_s - self._schedule_s)
        target_s = self.settings.slo.tbt_s
        if target_s is None:
            return None
        if (plan := stats.plan) is None:
            return None
        self._efficiency.observe(decodes, stats.chunks, plan.planned_s, self._fullness)
        is_planned = plan.decode_s < plan.planned_s and plan.bound is not BudgetBound.FLOOR
        self._headroom.observe(len(stats.gaps), num_late if is_planned else 0)  # else no other plan would have helped
        if plan.bound is not BudgetBound.HOLD:
            self._held_since_s = None
        elif self._held_since_s is None:
            self._held_since_s = stats.start_s
        return self._overload.observe(stats, plan, decodes)

    def resume(self, settings: EngineSettings) -> None:
        """Put settings in force as they are, with the budget that the profile gives where it is to."""
        num_tokens = None
        if settings.budget_mode is BudgetMode.PROFILED and settings.slo.tbt_s is not None:
            around = self._circumstances
            num_tokens = profiled_budget(
                self._cost_model,
                around.worst_case,
                settings.slo.tbt_s,
                tile=around.tile,
                min_tokens=around.bounds.min_tokens,
                max_tokens=around.bounds.max_tokens,
            )
        self.settings = msgspec.structs.replace(settings, token_budget=num_tokens or settings.token_budget)
        self._may_hold_back = settings.overload(self._circumstances.overload) is not OverloadMode.ADMIT
        self._adaptive_s = settings.slo.tbt_s if settings.budget_mode is BudgetMode.ADAPTIVE else None

    def apply(self, change: ChangeSettings) -> EngineSettings:
        """Put the change in force and return the new settings; an overload was one by the old ones alone.

        Raises `ControlRefused` with the range or the choices when a value is outside of them.
        """
        check_change(change, self._circumstances.bounds)
        self._overload = OverloadWatch(self._cost_model)
        self.resume(self.settings.changed(change.budget, change.policy, change.slo))
        return self.settings

    @property
    def _target_s(self) -> float | None:
        """The target that iterations are planned for now; None where tokens are counted."""
        self._can_predict = self._can_predict or self._cost_model.predict(_ANY_ITERATION) is not None
        return self._adaptive_s if self._can_predict else None

    @property
    def _likely_tokens(self) -> int:
        """How many prompt tokens the next iteration may well get, to be looked at first."""
        return self._efficiency.num_tokens if self._forecast.num_stages > 1 else self._num_prefill_tokens

    def _planned_s(self, target_s: float) -> float:
        return target_s * self._headroom.share - self._schedule_s

    def _holds_back(self, now_s: float) -> bool:
        return self._may_hold_back and not self._has_held_for_long(now_s)

    def _has_held_for_long(self, now_s: float) -> bool:
        """Whether the oldest waiting request is let in whatever it does, since it has been held for long."""
        if self._held_since_s is None or now_s - self._held_since_s < LONGEST_HOLD_S:
            return False
        self._held_since_s = now_s
        return True


def check_change(change: ChangeSettings, bounds: BudgetBounds) -> None:
    """Raise `ControlRefused` unless every value of the change is one that the engine can take."""
    budget = change.budget
    if isinstance(budget, int) and not bounds.min_tokens <= budget <= bounds.max_tokens:
        raise ControlRefused(
            ErrorCode.OUT_OF_RANGE,
            f"a token budget of {budget} is outside {bounds.min_tokens} to {bounds.max_tokens}",
            "the range was set when the daemon started: --min-budget, --max-budget",
        )
    if change.policy is not None and change.policy not in POLICIES:
        raise ControlRefused(
            ErrorCode.OUT_OF_RANGE, f"there is no policy {change.policy!r}", f"choose one of {', '.join(POLICIES)}"
        )
    targets = change.slo or SLO()
    for name, target_s in (("tbt", targets.tbt_s), ("ttft", targets.ttft_s)):
        if target_s is not None and not 0.0 < target_s <= 86_400.0:
            raise ControlRefused(ErrorCode.OUT_OF_RANGE, f"a {name} target of {target_s} s is not between 0 and a day")
