"""Holds the settings in force and grants each iteration its budget."""

from dataclasses import dataclass

from sarathid.errors import ControlRefused
from sarathid.protocol.control import ErrorCode
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import EngineSettings
from sarathid.protocol.step import ChangeSettings
from sarathid.scheduler.policies.registry import POLICIES
from sarathid.scheduler.token_budget import FixedBudget, TokenBudget


@dataclass(frozen=True, slots=True)
class BudgetBounds:
    """The token budgets that the engine was started for, both ends included."""

    min_tokens: int
    max_tokens: int


class SLOController:
    """Every change makes a new revision; a refused one changes nothing."""

    def __init__(self, settings: EngineSettings, bounds: BudgetBounds) -> None:
        self.settings = settings
        self._bounds = bounds

    def grant(self) -> TokenBudget:
        """Return the next iteration's allowance."""
        return FixedBudget(self.settings.token_budget)

    def apply(self, change: ChangeSettings) -> EngineSettings:
        """Put the change in force and return the new settings.

        Raises `ControlRefused` with the range or the choices when a value is outside of them.
        """
        check_change(change, self._bounds)
        current = self.settings
        self.settings = EngineSettings(
            revision=current.revision + 1,
            token_budget=current.token_budget if change.token_budget is None else change.token_budget,
            policy=current.policy if change.policy is None else change.policy,
            slo=current.slo if change.slo is None else change.slo,
        )
        return self.settings


def check_change(change: ChangeSettings, bounds: BudgetBounds) -> None:
    """Raise `ControlRefused` unless every value of the change is one that the engine can take."""
    budget = change.token_budget
    if budget is not None and not bounds.min_tokens <= budget <= bounds.max_tokens:
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
