"""From a stall to the change that would have prevented it."""

from sarathictl.state.change_form import ChangeForm, budget_form, policy_form
from sarathictl.state.engine_view import EngineView
from sarathictl.state.sentences import stall_sentence
from sarathictl.state.why_budget import BUDGETED_POLICIES
from sarathid.errors import ConfigError
from sarathid.protocol.stats import StallEvent

MAX_REASON = 200  # characters that the daemon takes


def fix_form(stall: StallEvent, view: EngineView) -> ChangeForm:
    """Return the form that proposes what would have prevented a stall.

    That is another policy where the one in force takes prompts whole, else a budget. Raises `ConfigError` when no
    budget would have.
    """
    if stall.preventing_budget is None:
        raise ConfigError("no budget would have prevented it: it was not the prefill alone")
    reason = stall_sentence(stall)[:MAX_REASON]
    assert view.settings is not None
    if view.settings.policy not in BUDGETED_POLICIES:
        return policy_form(view, reason)
    return budget_form(view, stall.preventing_budget, reason)
