"""Says what other settings would have done, by replaying the last minutes of this daemon's own load."""

import asyncio

from sarathid.clock import Clock
from sarathid.costmodel.cost_profile import CostProfile
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.engine.client import EngineClient
from sarathid.errors import ControlRefused
from sarathid.protocol.control import ErrorCode, Plan, RequestStatus
from sarathid.protocol.plan import Candidate, Planned
from sarathid.protocol.stats import EngineInfo, EngineSettings, StreamRecord
from sarathid.server.rehearsal import Simulate, replay
from sarathid.server.scenario import Scenario
from sarathid.slo.revisions import Retuning
from sarathid.telemetry.past_requests import PastRequest
from sarathid.telemetry.recent_load import RecentLoad

MAX_CONCURRENT_PLANS = 4


class Planner:
    """Watches the load; a replay takes seconds, so one runs at a time and few wait for it."""

    def __init__(self, engine: EngineClient, simulate: Simulate, clock: Clock) -> None:
        self._engine = engine
        self._simulate = simulate
        self._clock = clock
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
                return await replay(self._scenario(op.last_s), candidates, self._simulate)
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
        in_flight = [_unfinished(status, now_s, info) for status in self._engine.list_requests(now_s)]
        return Scenario.of(self._profile_name, info, span, in_flight)


def _unfinished(status: RequestStatus, now_s: float, engine: EngineInfo) -> PastRequest:
    return PastRequest.unfinished(
        arrival_s=now_s - status.age_s,
        ttft_s=status.ttft_s,
        num_prompt_tokens=status.num_prompt_tokens,
        num_cached_tokens=status.num_cached_tokens,
        max_tokens=status.max_tokens,
        max_model_len=engine.max_model_len,
    )
