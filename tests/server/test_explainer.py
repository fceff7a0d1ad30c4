"""The daemon's reasons, from an engine that recites and the board that folds its records."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest

from sarathid.clock import MonotonicClock
from sarathid.engine.client import EngineClient
from sarathid.engine.token_stream import TokenStream
from sarathid.errors import ControlRefused, QueueFull
from sarathid.protocol.control import ErrorCode, RequestState
from sarathid.protocol.requests import SamplingParams
from sarathid.protocol.slo import SLOChange
from sarathid.protocol.stats import Blocker, IterationStats, Overload, StreamRecord
from sarathid.server.explainer import Explainer
from sarathid.server.promises import StartPromises
from sarathid.telemetry.board import Board
from tests.engine.reading import deltas_of
from tests.server.scripted_engine import NUM_BLOCKS, scripted_engine

Use = Callable[[EngineClient, Explainer], Awaitable[None]]


def with_explainer(use: Use) -> None:
    async def main() -> None:
        board, promises = Board(), StartPromises()
        async with scripted_engine(ends=False, pace_s=0.004) as engine:
            for observe in (board.observe, promises.observe):
                engine.subscribe(observe)
            await use(engine, Explainer(engine, board, promises, MonotonicClock()))

    asyncio.run(main())


def submit(engine: EngineClient, num_prompt_tokens: int, max_tokens: int) -> TokenStream:
    """Queue a request that has blocks of its own."""
    prompt = tuple(1 + index % 100 for index in range(num_prompt_tokens))
    sampling = SamplingParams(temperature=0.0, max_tokens=max_tokens, ignore_eos=True)
    return engine.submit(prompt, sampling, cache_salt=uuid.uuid4().hex)


async def read(stream: TokenStream) -> None:
    async for _ in deltas_of(stream):
        pass
    stream.close()


async def until(engine: EngineClient, is_wanted: Callable[[StreamRecord], bool]) -> None:
    """Return when a record has come for which `is_wanted`."""
    has_come = asyncio.Event()
    engine.subscribe(lambda record: has_come.set() if is_wanted(record) else None)
    await asyncio.wait_for(has_come.wait(), 20.0)


def is_blocked_by(blocker: Blocker) -> Callable[[StreamRecord], bool]:
    return lambda record: isinstance(record, IterationStats) and record.blocked_by is blocker


def test_a_waiting_request_is_promised_a_start_that_is_checked() -> None:
    async def use(engine: EngineClient, explainer: Explainer) -> None:
        streams = [submit(engine, num_prompt_tokens=300, max_tokens=40) for _ in range(4)]  # 85 blocks each
        await until(engine, is_blocked_by(Blocker.BLOCKS))
        reasons = explainer.request(streams[3].request_id)
        wait = reasons.wait
        assert wait is not None
        assert (wait.position, wait.num_waiting, wait.blocked_by) == (1, 1, Blocker.BLOCKS)
        assert (wait.num_running, wait.num_ends_ahead, wait.num_blocks_needed) == (3, 1, 75)
        assert wait.num_blocks_free - wait.num_blocks_promised < 75 < NUM_BLOCKS
        assert wait.promise is not None
        assert wait.promise.due_s == pytest.approx(wait.starts_in_s)
        await asyncio.gather(*map(read, streams))
        ended = explainer.request(streams[3].request_id)
        assert (ended.status, ended.wait) == (None, None)
        assert ended.ended is not None
        assert ended.kept_promise is not None
        assert ended.kept_promise.ahead_s == pytest.approx(wait.starts_in_s)
        assert explainer.budget().promises.count == 1

    with_explainer(use)


def test_a_request_that_stalled_has_its_stalls_explained() -> None:
    async def use(engine: EngineClient, explainer: Explainer) -> None:
        await engine.change_settings(slo=SLOChange(tbt_s=0.001))
        stream = submit(engine, num_prompt_tokens=8, max_tokens=12)
        await read(stream)
        reasons = explainer.request(stream.request_id)
        assert reasons.ended is not None
        assert reasons.slo.tbt_s == 0.001
        assert reasons.ended.num_stalls >= len(reasons.stalls) > 0
        assert all(found.tbt_s > 0.001 for found in reasons.stalls)
        ages_s = [found.age_s for found in reasons.stalls]
        assert ages_s == sorted(ages_s)
        budget = explainer.budget()
        assert budget.num_tbts == 11
        assert budget.num_late == reasons.ended.num_stalls
        assert sum(budget.num_by_bound.values()) == 12

    with_explainer(use)


def test_a_budget_is_explained_by_iterations_under_the_settings_in_force() -> None:
    async def use(engine: EngineClient, explainer: Explainer) -> None:
        stream = submit(engine, num_prompt_tokens=8, max_tokens=40)
        await read(stream)
        assert explainer.budget().plan is not None
        await engine.change_settings(budget=64, slo=SLOChange(tbt_s=0.5))
        found = explainer.budget()
        assert (found.token_budget, found.plan, found.age_s, found.num_by_bound) == (64, None, None, {})
        assert explainer.request(stream.request_id).plan is None

    with_explainer(use)


def test_what_is_too_much_by_one_target_is_not_shed_by_another() -> None:
    async def main() -> None:
        async with scripted_engine(ends=False, pace_s=0.004, sheds_overload=True) as engine:
            await engine.change_settings(slo=SLOChange(tbt_s=0.001))
            stream = submit(engine, num_prompt_tokens=8, max_tokens=400)
            await until(engine, lambda record: isinstance(record, Overload))
            with pytest.raises(QueueFull, match="all the time that the target allows"):
                submit(engine, num_prompt_tokens=8, max_tokens=8)
            await engine.change_settings(slo=SLOChange(tbt_s=None))
            submit(engine, num_prompt_tokens=8, max_tokens=8).close()
            stream.close()

    asyncio.run(main())


def test_a_running_request_waits_for_nothing() -> None:
    async def use(engine: EngineClient, explainer: Explainer) -> None:
        stream = submit(engine, num_prompt_tokens=8, max_tokens=200)
        await anext(deltas_of(stream))
        reasons = explainer.request(stream.request_id)
        assert reasons.status is not None
        assert (reasons.status.state, reasons.wait) == (RequestState.DECODE, None)
        stream.close()

    with_explainer(use)


def test_a_request_of_whose_end_the_engine_has_yet_to_tell_is_known() -> None:
    async def use(engine: EngineClient, explainer: Explainer) -> None:
        stream = submit(engine, num_prompt_tokens=8, max_tokens=200)
        await anext(deltas_of(stream))
        stream.close()
        reasons = explainer.request(stream.request_id)
        assert reasons.status is not None
        assert (reasons.status.request_id, reasons.wait, reasons.ended) == (stream.request_id, None, None)

    with_explainer(use)


def test_a_request_that_nobody_knows_is_not_found() -> None:
    async def use(engine: EngineClient, explainer: Explainer) -> None:
        with pytest.raises(ControlRefused) as refused:
            explainer.request(99)
        assert refused.value.code == ErrorCode.NOT_FOUND

    with_explainer(use)


def test_before_the_first_engine_is_ready_there_is_no_budget_to_explain() -> None:
    async def main() -> None:
        engine = EngineClient()
        with pytest.raises(ControlRefused) as refused:
            Explainer(engine, Board(), StartPromises(), MonotonicClock()).budget()
        assert refused.value.code == ErrorCode.UNAVAILABLE
        await engine.close()

    asyncio.run(main())
