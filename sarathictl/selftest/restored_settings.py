"""Leaves a daemon with the settings that it had."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sarathictl.selftest.daemon import TestedDaemon
from sarathid.protocol.control import Retuned, SetBudget, SetPolicy, SetSLO
from sarathid.protocol.slo import SLOChange

REASON = "self-test"


@asynccontextmanager
async def restored_settings(daemon: TestedDaemon) -> AsyncIterator[None]:
    """Put back, when the context is left and the daemon at rest, what was in force."""
    settings = (await daemon.status()).settings
    assert settings is not None, "a daemon with an engine has settings"
    try:
        yield
    finally:
        await daemon.rest()
        targets = SLOChange(tbt_s=settings.slo.tbt_s, ttft_s=settings.slo.ttft_s)
        await daemon.ask(SetPolicy(policy=settings.policy, reason=REASON), Retuned)
        await daemon.ask(SetSLO(slo=targets, reason=REASON), Retuned)
        await daemon.ask(SetBudget(budget=settings.budget, reason=REASON), Retuned)
