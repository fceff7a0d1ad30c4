"""Scheduling policies by the name that operators use."""

from collections.abc import Callable

from sarathid.errors import ConfigError
from sarathid.scheduler.plan import BatchPlan
from sarathid.scheduler.policies.prefill_first import prefill_first
from sarathid.scheduler.policies.stall_free import stall_free
from sarathid.scheduler.token_budget import TokenBudget

Policy = Callable[[BatchPlan, TokenBudget], None]

POLICIES: dict[str, Policy] = {"stall-free": stall_free, "prefill-first": prefill_first}


def find_policy(name: str) -> Policy:
    """Return the policy of that name, or raise `ConfigError` with the names there are."""
    try:
        return POLICIES[name]
    except KeyError:
        raise ConfigError(f"there is no policy {name!r}; choose one of {', '.join(POLICIES)}") from None
