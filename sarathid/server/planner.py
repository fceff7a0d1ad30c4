"""Says what other settings would have done, by replaying the last minutes of this daemon's own load."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from sarathid.clock import Clock
from sarathid.config import EngineConfig
from sarathid.costmodel.cost_profile import CostProfile
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.engine.client import EngineClient
from sarathid.errors import ControlRefused
from sarathid.protocol.changes import Figures
from sarathid.protocol.control import ErrorCode, Plan
from sarathid.protocol.plan import Candidate, Forecast, Planned
from sarathid.protocol.stats import EngineSettings, StreamRecord
from sarathid.server.scenario import Limits, Scenario
from sarathid.slo.revisions import Retuning
from sarathid.telemetry.recent_load import RecentLoad

MAX_CONCURRENT_PLANS = 4

Simulate = Callable[[tuple[str, ...]], Awaitable[Figures]]
"""Runs `sarathid` with these arguments and returns the figures of its window; raises `ControlRefused`."""


class Planner:
    """Watches the load; a replay takes seconds, so one runs at a time and few wait for it."""

    def __init__(self, engine: EngineClient, config: EngineConfig, simulate: Simulate, clock: Clock) -> None:
        self._engine = engine
        self._simulate = simulate
        self._clock = clock
        self._config = config
        self._load = RecentLoad()
        self._profile_name = ""
        self._has_profile = False
        self._turn = asyncio.Lock()
        self._num_planning = 0

    def begin(self, name: str, profile: CostProfile | None) -> None:
        """Take note of a new engine and of the profile that it predicts with; without one, `name` would find it."""
        settings = self._engine.settings
        assert settings is not None, "an engine says with which settings it starts"
        self._profile_name = name
        self._has_profile = profile is not None
        cost_model = None if profile is None else IterationCostModel(profile)
        self._load.begin(cost_model, settings, self._clock.now_s())

    def observe(self, record: StreamRecord) -> None:
        """Take a record in."""
        self._load.observe(record)

    async def plan(self, op: Plan) -> Planned:
        """Return the last seconds replayed as they were and under each candidate; raises `ControlRefused`."""
        if self._num_planning >= MAX_CONCURRENT_PLANS:
            raise ControlRefused(
                ErrorCode.UNAVAILABLE, f"{self._num_planning} plans are being made already", "ask again later"
            )
        candidates = [self._settings_under(candidate) for candidate in op.candidates]
        self._num_planning += 1
        try:
            async with self._turn:
                return await self._replay(self._scenario(op.last_s), candidates)
        finally:
            self._num_planning -= 1

    def _settings_under(self, candidate: Candidate) -> EngineSettings:
        self._engine.check_change(budget=candidate.budget, policy=candidate.policy, slo=candidate.slo)
        assert self._engine.settings is not None
        retuning = Retuning(budget=candidate.budget, policy=candidate.policy, slo=candidate.slo)
        return retuning.applied_to(self._engine.settings)

    def _scenario(self, last_s: float) -> Scenario:
        now_s, info = self._clock.now_s(), self._engine.info
        if info is None or not self._engine.is_ready:
            raise ControlRefused(ErrorCode.UNAVAILABLE, "the engine is not ready", "ask again when it is")
        if not self._has_profile:
            raise ControlRefused(
                ErrorCode.UNAVAILABLE,
                f"there is no cost profile {self._profile_name}, so nothing can be replayed",
                "measure one with `sarathid profile` while no daemon runs here; the next engine takes it",
            )
        span = self._load.span(last_s, now_s)
        if span is None:
            raise ControlRefused(
                ErrorCode.UNAVAILABLE,
                f"no request got a token in the last {last_s:g} s, so there is nothing to replay",
                "ask again under load, or over a longer time: --last 15m",
            )
        limits = Limits(info=info, config=self._config)
        return Scenario.of(self._profile_name, limits, span, self._engine.list_requests(now_s))

    async def _replay(self, scenario: Scenario, candidates: list[EngineSettings]) -> Planned:
        with tempfile.TemporaryDirectory(prefix="sarathid-plan-") as name:
            directory = Path(name)
            await asyncio.to_thread(scenario.write, directory)
            replayed = await self._simulate(scenario.as_it_was(directory))
            forecasts = [
                Forecast(settings=settings, figures=await self._simulate(scenario.under(settings, directory)))
                for settings in candidates
            ]
        return Planned(
            span_s=scenario.span.end_s - scenario.span.start_s,
            profile=scenario.profile,
            correction=scenario.correction,
            num_requests=len(scenario.requests),
            num_guessed=scenario.num_guessed,
            num_left_out=scenario.num_left_out,
            current=scenario.span.current,
            observed=scenario.span.observed,
            replayed=replayed,
            forecasts=tuple(forecasts),
        )
