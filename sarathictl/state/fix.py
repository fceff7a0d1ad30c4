"""From a stall to the change that would have prevented it."""

from sarathictl.state.change_form import ChangeForm, budget_form, policy_form
from sarathictl.state.engine_view import EngineView
from sarathictl.state.sentences import stall_sentence
from sarathictl.state.why_budget import BUDGETED_POLICIES
from sarathid.errors import ConfigError
from sarathid.protocol.stats import StallEvent
from sarathid.protocol.why import RequestReasons, StallReasons

MAX_REASON = 200  # characters that the daemon takes


def fix_form(found: RequestReasons, stall: StallEvent, view: EngineView) -> ChangeForm:
    """Return the form that proposes what would have prevented a stall, by the reasons of who waited longest.

    That is another policy where the one in force takes prompts whole, else a budget. Raises `ConfigError` when no
    budget would have, or the daemon does not remember the stall any more.
    """
    reasons = _reasons_of(found, stall)
    if reasons.preventing_budget is None:
        raise ConfigError("no budget would have prevented it: it was not the prefill alone")
    reason = stall_sentence(stall)[:MAX_REASON]
    assert view.settings is not None
    if view.settings.policy not in BUDGETED_POLICIES:
        return policy_form(view, reason)
    return budget_form(view, reasons.preventing_budget, reason)


def _reasons_of(found: RequestReasons, stall: StallEvent) -> StallReasons:
    for reasons in found.stalls:
        if reasons.stall.iteration == stall.iteration and reasons.stall.time_s == stall.time_s:
            return reasons
    raise ConfigError("the daemon does not remember this stall any more")
