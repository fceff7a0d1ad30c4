"""A plan is refused with a reason and a way out, and one that is made has everything that was asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sarathid.clock import MonotonicClock
from sarathid.costmodel.library import find_profile
from sarathid.engine.client import EngineClient
from sarathid.errors import ControlRefused
from sarathid.protocol.changes import Figures
from sarathid.protocol.control import ErrorCode, Plan
from sarathid.protocol.plan import Candidate
from sarathid.protocol.requests import SamplingParams
from sarathid.protocol.slo import SLOChange
from sarathid.server.planner import MAX_CONCURRENT_PLANS, Planner
from sarathid.server.rehearsal import Simulate
from tests.engine.reading import deltas_of
from tests.factories import make_figures
from tests.server.scripted_engine import scripted_engine

NAME = "cpu/smollm2-135m-float32-tp1"


def with_planner(use: Callable[[EngineClient, Planner], Awaitable[None]], simulate: Simulate, name: str = NAME) -> None:
    async def main() -> None:
        async with scripted_engine(ends=False, pace_s=0.002) as engine:
            planner = Planner(engine, simulate, MonotonicClock())
            engine.subscribe(planner.observe)
            planner.begin(name, find_profile(name) if name == NAME else None)
            await use(engine, planner)

    asyncio.run(main())


async def serve_one(engine: EngineClient, max_tokens: int = 5) -> None:
    stream = engine.submit((1, 2, 3), SamplingParams(temperature=0.0, max_tokens=max_tokens))
    async for _ in deltas_of(stream):
        pass
    stream.close()


async def not_run(arguments: tuple[str, ...]) -> Figures:
    raise AssertionError(f"nothing was to be simulated: {arguments}")


def test_a_plan_has_the_replay_and_each_candidate_under_its_settings() -> None:
    asked: list[tuple[str, ...]] = []

    async def simulate(arguments: tuple[str, ...]) -> Figures:
        asked.append(arguments)
        return make_figures(tbt_p99_s=0.1 * len(asked))

    async def use(engine: EngineClient, planner: Planner) -> None:
        await serve_one(engine)
        candidates = (Candidate(budget=64, slo=SLOChange(tbt_s=0.08)), Candidate(policy="prefill-first"))
        planned = await planner.plan(Plan(candidates=candidates))
        assert engine.settings == planned.current
        assert (planned.profile, planned.num_requests, planned.num_guessed) == (NAME, 1, 0)
        assert planned.correction > 0.0
        assert planned.observed.tokens_per_s > 0.0
        assert planned.replayed.tbt_p99_s == 0.1
        first, second = planned.forecasts
        assert (first.settings.token_budget, first.settings.slo.tbt_s, first.figures.tbt_p99_s) == (64, 0.08, 0.2)
        assert (second.settings.policy, second.settings.budget) == ("prefill-first", planned.current.budget)

    with_planner(use, simulate)
    options = [dict(zip(arguments[2::2], arguments[3::2], strict=True)) for arguments in asked]
    assert [option["--budget"] for option in options] == ["auto", "64", "auto"]
    assert {option["--num-blocks"] for option in options} == {"256"}
    assert not Path(options[0]["--workload"]).exists()


def test_without_a_profile_the_way_to_one_is_told() -> None:
    async def use(engine: EngineClient, planner: Planner) -> None:
        await serve_one(engine)
        with pytest.raises(ControlRefused, match="no cost profile cpu/none-tp1") as refused:
            await planner.plan(Plan())
        assert "sarathid profile" in refused.value.hint

    with_planner(use, not_run, "cpu/none-tp1")


def test_without_load_there_is_nothing_to_replay() -> None:
    async def use(engine: EngineClient, planner: Planner) -> None:
        with pytest.raises(ControlRefused, match="nothing to replay"):
            await planner.plan(Plan())

    with_planner(use, not_run)


def test_a_candidate_that_the_engine_would_refuse_is_refused() -> None:
    async def use(engine: EngineClient, planner: Planner) -> None:
        await serve_one(engine)
        with pytest.raises(ControlRefused, match="outside 16 to 8192") as refused:
            await planner.plan(Plan(candidates=(Candidate(budget=8),)))
        assert refused.value.code == ErrorCode.OUT_OF_RANGE

    with_planner(use, not_run)


def test_only_one_is_simulated_at_a_time_and_few_wait() -> None:
    num_running = 0
    may_end = asyncio.Event()

    async def simulate(arguments: tuple[str, ...]) -> Figures:
        nonlocal num_running
        num_running += 1
        assert num_running == 1
        await may_end.wait()
        num_running -= 1
        return make_figures()

    async def use(engine: EngineClient, planner: Planner) -> None:
        await serve_one(engine)
        plans = [asyncio.create_task(planner.plan(Plan())) for _ in range(MAX_CONCURRENT_PLANS)]
        while not num_running:
            await asyncio.sleep(0)
        with pytest.raises(ControlRefused, match="plans are being made already"):
            await planner.plan(Plan())
        may_end.set()
        await asyncio.gather(*plans)

    with_planner(use, simulate)
