"""Scheduling policies by the name that operators use."""

from collections.abc import Callable

from sarathid.errors import ConfigError
from sarathid.scheduler.plan import BatchPlan
from sarathid.scheduler.policies.chunked_only import ChunkedOnly
from sarathid.scheduler.policies.hybrid_only import hybrid_only
from sarathid.scheduler.policies.mixed_whole import mixed_whole
from sarathid.scheduler.policies.prefill_first import prefill_first
from sarathid.scheduler.policies.request_level import request_level
from sarathid.scheduler.policies.stall_free import stall_free
from sarathid.scheduler.token_budget import TokenBudget

Policy = Callable[[BatchPlan, TokenBudget], None]

POLICIES: dict[str, Callable[[], Policy]] = {
    "stall-free": lambda: stall_free,
    "prefill-first": lambda: prefill_first,
    "mixed-whole": lambda: mixed_whole,
    "request-level": lambda: request_level,
    "chunked-only": ChunkedOnly,
    "hybrid-only": lambda: hybrid_only,
}


def find_policy(name: str) -> Policy:
    """Return a new policy of that name, or raise `ConfigError` with the names there are."""
    if name not in POLICIES:
        raise ConfigError(f"there is no policy {name!r}; choose one of {', '.join(POLICIES)}")
    return POLICIES[name]()
