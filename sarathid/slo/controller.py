"""Holds the settings in force and grants each iteration its budget."""

from dataclasses import dataclass

import msgspec

from sarathid.costmodel.features import IterationFeatures
from sarathid.costmodel.predictor import CostModel
from sarathid.errors import ControlRefused
from sarathid.protocol.control import ErrorCode
from sarathid.protocol.slo import SLO, BudgetMode, mode_of
from sarathid.protocol.stats import EngineSettings, IterationStats
from sarathid.protocol.step import ChangeSettings
from sarathid.scheduler.policies.registry import POLICIES
from sarathid.scheduler.token_budget import FixedBudget, TokenBudget
from sarathid.slo.headroom import Headroom
from sarathid.slo.profiled_budget import WorstCase, profiled_budget
from sarathid.slo.time_budget import TimeBudget

_ANY_ITERATION = IterationFeatures(num_decodes=1, decode_context=1)
_SCHEDULE_GAIN = 1.0 / 16.0


@dataclass(frozen=True, slots=True)
class BudgetBounds:
    """The token budgets that the engine was started for, both ends included."""

    min_tokens: int
    max_tokens: int


class SLOController:
    """Every change makes a new revision; a refused one changes nothing.

    `worst_case` is the heaviest decode load there can be, for which a profiled budget is chosen. `tile` is the number
    of tokens that the device rounds an iteration up to; `num_stages` that of the pipeline.
    """

    def __init__(
        self,
        settings: EngineSettings,
        bounds: BudgetBounds,
        cost_model: CostModel,
        worst_case: WorstCase,
        *,
        tile: int = 1,
        num_stages: int = 1,
    ) -> None:
        self.settings = settings
        self.headroom = Headroom()
        self._bounds = bounds
        self._cost_model = cost_model
        self._worst_case = worst_case
        self._tile = tile
        self._num_stages = num_stages
        self._schedule_s = 0.0
        self._settle(settings)

    def grant(self, now_s: float) -> TokenBudget:
        """Return the allowance of an iteration that is put together now."""
        settings, target_s = self.settings, self.settings.slo.tbt_s
        if settings.budget_mode is not BudgetMode.ADAPTIVE or target_s is None or not self._can_predict():
            return FixedBudget(settings.token_budget)
        return TimeBudget(
            self._cost_model,
            target_s=target_s * self.headroom.share - self._schedule_s,
            now_s=now_s,
            max_tokens=self._bounds.max_tokens,
            floor_tokens=self._bounds.min_tokens,
            tile=self._tile,
            is_pipelined=self._num_stages > 1,
        )

    def observe(self, stats: IterationStats) -> None:
        """Learn from an iteration how much of the target can be planned for."""
        self._schedule_s += _SCHEDULE_GAIN * (stats.schedule_s - self._schedule_s)
        target_s = self.settings.slo.tbt_s
        if target_s is not None:
            self.headroom.observe(len(stats.gaps), sum([gap.tbt_s > target_s for gap in stats.gaps]))

    def apply(self, change: ChangeSettings) -> EngineSettings:
        """Put the change in force and return the new settings.

        Raises `ControlRefused` with the range or the choices when a value is outside of them.
        """
        check_change(change, self._bounds)
        current = self.settings
        budget = current.budget if change.budget is None else change.budget
        self._settle(
            EngineSettings(
                revision=current.revision + 1,
                token_budget=budget if isinstance(budget, int) else current.token_budget,
                policy=current.policy if change.policy is None else change.policy,
                slo=current.slo if change.slo is None else change.slo,
                budget_mode=mode_of(budget),
            )
        )
        return self.settings

    def _settle(self, settings: EngineSettings) -> None:
        """Put settings in force, with the budget that the profile gives where it is to."""
        num_tokens = None
        if settings.budget_mode is BudgetMode.PROFILED and settings.slo.tbt_s is not None:
            num_tokens = profiled_budget(
                self._cost_model,
                self._worst_case,
                settings.slo.tbt_s,
                tile=self._tile,
                min_tokens=self._bounds.min_tokens,
                max_tokens=self._bounds.max_tokens,
            )
        self.settings = msgspec.structs.replace(settings, token_budget=num_tokens or settings.token_budget)

    def _can_predict(self) -> bool:
        return self._cost_model.predict(_ANY_ITERATION) is not None


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
