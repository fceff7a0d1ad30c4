"""Somebody who turns every knob at random while the daemon serves."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sarathictl.selftest.daemon import TestedDaemon
from sarathictl.selftest.restored_settings import REASON, restored_settings
from sarathid.errors import ControlRefused
from sarathid.protocol.control import ChangeRequest, Retuned, SetBudget, SetPolicy, SetSLO
from sarathid.protocol.slo import SLOChange
from sarathid.protocol.stats import EngineInfo

POLICIES = ("stall-free", "prefill-first", "mixed-whole", "chunked-only", "hybrid-only", "request-level")
MAX_BUDGET = 1024


class RandomRetuning:
    """Changes budget, policy or targets every `every_s` seconds in the mean; `num_changes` were taken."""

    def __init__(
        self,
        daemon: TestedDaemon,
        engine: EngineInfo,
        rng: random.Random,
        every_s: float,
        policies: Sequence[str] = POLICIES,
    ) -> None:
        self._daemon = daemon
        self._engine = engine
        self._rng = rng
        self._every_s = every_s
        self._policies = policies
        self.num_changes = 0

    @asynccontextmanager
    async def under_way(self) -> AsyncIterator[None]:
        """Retune until the context is left, then put back what was in force."""
        async with restored_settings(self._daemon):
            task = asyncio.create_task(self._run())
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait((task,))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._rng.expovariate(1.0 / self._every_s))
            try:
                await self._daemon.ask(self._draw(), Retuned)
                self.num_changes += 1
            except (ControlRefused, TimeoutError):  # no engine is there now, or it goes away meanwhile
                continue

    def _draw(self) -> ChangeRequest:
        engine, rng = self._engine, self._rng
        match rng.randrange(3):
            case 0:
                number = rng.randint(engine.min_token_budget, min(engine.max_token_budget, MAX_BUDGET))
                return SetBudget(budget=rng.choice(("auto", number)), reason=REASON)
            case 1:
                return SetPolicy(policy=rng.choice(self._policies), reason=REASON)
            case _:
                tbt_s = rng.choice((None, engine.isolated_decode_s * rng.uniform(2.0, 10.0)))
                return SetSLO(slo=SLOChange(tbt_s=tbt_s), reason=REASON)
