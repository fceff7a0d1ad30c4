"""Engines that are lost, and what their client carries over to the next."""

import asyncio

import pytest

from sarathid.engine.client import MAX_ENGINES_LOST, EngineClient
from sarathid.errors import ControlRefused
from sarathid.protocol.requests import FinishReason, SamplingParams
from sarathid.protocol.stats import (
    IterationScheduled,
    IterationStats,
    RequestStats,
    StallCause,
    StallEvent,
)
from sarathid.protocol.step import NewTokens, TokenDelta
from tests.engine.client_session import GREEDY, Session, read, running, talker
from tests.engine.hosted import make_ready
from tests.engine.reading import deltas_of
from tests.factories import Engine, expected_output, make_request


def test_streams_go_on_in_a_new_engine_without_losing_or_repeating_a_token() -> None:
    requests = [make_request(i, num_prompt_tokens=20 * i, max_tokens=60) for i in (1, 2, 3)]

    async def main() -> None:
        session = Session(EngineClient())
        client = session.client
        async with running(client, Engine(token_budget=16)):
            await client.change_settings(budget=24)
            streams = [client.submit(request.prompt_token_ids, request.sampling) for request in requests]
            readers = [asyncio.create_task(read(stream)) for stream in streams]
            await session.until(lambda: len(streams[1].output_token_ids) > 5)
        queued = client.submit((7, 7, 7), GREEDY)
        async with running(client, Engine(token_budget=16)):
            for request, reader in zip(requests, readers, strict=True):
                assert await reader == expected_output(request, 60)
            assert len(await read(queued)) == 20
            for stream in (*streams, queued):
                stream.close()
            await session.until(lambda: len(session.of(RequestStats)) == 4)
        iterations = session.of(IterationStats)
        numbers = [stats.sequence_number for stats in iterations]
        assert numbers == sorted(set(numbers))
        assert {(stats.revision, stats.token_budget) for stats in iterations[1:]} == {(1, 24)}
        first_tokens = [first.request_id for stats in iterations for first in stats.first_tokens]
        assert sorted(first_tokens) == [1, 2, 3, 4]
        assert all(stats.ttft_s is not None for stats in session.of(RequestStats))
        await client.close()

    asyncio.run(main())


def test_the_wait_for_a_new_engine_begins_with_the_last_token_also_where_that_was_not_recorded() -> None:
    async def main() -> None:
        session = Session(EngineClient())
        with talker() as (connection, engine):
            connecting = asyncio.create_task(session.client.connect(connection))
            engine.send(make_ready(Engine()))
            await connecting
            talking = asyncio.create_task(session.client.run())
            stream = session.client.submit((1, 2, 3), GREEDY)
            engine.send(NewTokens(deltas=(TokenDelta(stream.request_id, 7),), made_s=2.0))
            assert (await anext(deltas_of(stream))).token_id == 7
            talking.cancel()
            await asyncio.wait((talking,))
            session.client.disconnected()
        second = Engine()
        second.clock.advance(60.0)
        async with running(session.client, second):
            assert len(await read(stream)) == 19
            stream.close()
            await session.until(lambda: bool(session.of(RequestStats)))
        (stall,) = session.of(StallEvent)
        assert stall.cause is StallCause.RESTART
        assert set(stall.parts) == {StallCause.RESTART}
        assert 58.0 < stall.worst_gap_s < 61.0
        await session.client.close()

    asyncio.run(main())


def test_the_wait_for_a_new_engine_is_a_stall_of_its_own_and_in_the_record() -> None:
    def make_engine() -> Engine:  # with an answer too long for the first to finish it before it is stopped
        return Engine(num_blocks=1024, max_model_len=4096)

    async def main() -> None:
        session = Session(EngineClient())
        async with running(session.client, make_engine()):
            stream = session.client.submit((1, 2, 3), SamplingParams(temperature=0.0, max_tokens=1500))
            await session.until(lambda: len(stream.output_token_ids) > 1)
        second = make_engine()
        second.clock.advance(60.0)
        async with running(session.client, second):
            await read(stream)
            stream.close()
            await session.until(lambda: bool(session.of(RequestStats)))
        (stall,) = session.of(StallEvent)
        (victim,) = stall.victims
        assert stall.cause is StallCause.RESTART
        assert sum(stall.parts.values()) == pytest.approx(victim.tbt_s)
        assert (victim.request_id, 40.0 < victim.tbt_s < 61.0) == (stream.request_id, True)
        (record,) = session.of(RequestStats)
        assert (record.tbt_max_s, record.num_stalls) == (victim.tbt_s, 1)
        await session.client.close()

    asyncio.run(main())


def test_a_new_engine_predicts_its_first_iteration_as_the_last_one_would_have() -> None:
    async def main() -> None:
        session = Session(EngineClient())
        async with running(session.client, Engine()):
            stream = session.client.submit((1, 2, 3) * 20, SamplingParams(temperature=0.0, max_tokens=200))
            await session.until(lambda: len(session.of(IterationStats)) > 40)
        num_before = len(session.of(IterationStats))
        async with running(session.client, Engine()):
            await read(stream)
            stream.close()
            await session.until(lambda: bool(session.of(RequestStats)))
        assert all(stats.predicted_s is not None for stats in session.of(IterationStats)[num_before:])
        await session.client.close()

    asyncio.run(main())


def test_a_request_that_engine_after_engine_dies_of_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        session = Session(EngineClient())
        client = session.client

        def engine() -> Engine:
            return Engine(token_budget=1, num_blocks=16384, max_model_len=65536)

        async with running(client, engine()):
            deadly = client.submit((1,) * 60_000, GREEDY)  # far from its first token when the engine dies
            await session.until(lambda: bool(session.of(IterationScheduled)))
        for _ in range(1, MAX_ENGINES_LOST):
            num_seen = len(session.of(IterationScheduled))
            async with running(client, engine()):
                await session.until(lambda: len(session.of(IterationScheduled)) > num_seen)  # noqa: B023
        waiting = client.submit((7, 7, 7), GREEDY)
        async with running(client, Engine()):
            (last,) = [delta async for delta in deltas_of(deadly)]
            assert last.finish_reason is FinishReason.ERROR
            assert len(await read(waiting)) == GREEDY.max_tokens
            deadly.close()
            waiting.close()
            await session.until(lambda: len(session.of(RequestStats)) == 2)
        reasons = {stats.request_id: stats.finish_reason for stats in session.of(RequestStats)}
        assert reasons == {deadly.request_id: FinishReason.ERROR, waiting.request_id: FinishReason.LENGTH}
        assert f"request {deadly.request_id} of ? is poisonous" in caplog.text
        assert client.num_in_flight == 0
        await client.close()

    asyncio.run(main())


def test_a_request_ends_at_once_where_it_is_cancelled_or_due_while_no_engine_is_there() -> None:
    async def main() -> None:
        session = Session(EngineClient())
        async with running(session.client, Engine()):
            stream = session.client.submit((1, 2, 3), SamplingParams(temperature=0.0, max_tokens=250))
            await session.until(lambda: len(stream.output_token_ids) > 1)
        stream.close()
        due = session.client.submit((1, 2, 3), GREEDY, timeout_s=0.01)
        assert [delta.finish_reason async for delta in deltas_of(due)] == [FinishReason.TIMEOUT]
        due.close()
        cancelled, timed_out = session.of(RequestStats)
        assert (cancelled.finish_reason, cancelled.num_output_tokens) == (
            FinishReason.CANCELLED,
            len(stream.output_token_ids),
        )
        assert (timed_out.finish_reason, timed_out.num_output_tokens) == (FinishReason.TIMEOUT, 0)
        assert session.client.num_in_flight == 0
        await session.client.close()

    asyncio.run(main())


def test_a_request_whose_cancelling_an_engine_did_not_live_to_see_ends_with_the_next() -> None:
    async def main() -> None:
        session = Session(EngineClient())
        async with running(session.client, Engine()):
            stream = session.client.submit((1, 2, 3), SamplingParams(temperature=0.0, max_tokens=250))
            await session.until(lambda: len(stream.output_token_ids) > 1)
            assert session.client.cancel(stream.request_id)
        async with running(session.client, Engine()):
            *_, last = [delta async for delta in deltas_of(stream)]
        assert last.finish_reason is FinishReason.CANCELLED
        stream.close()
        assert session.client.num_in_flight == 0
        await session.client.close()

    asyncio.run(main())


def test_a_change_under_way_is_refused_when_the_engine_is_gone() -> None:
    async def main() -> None:
        client = EngineClient()
        client.is_ready = True
        client.info = Engine.info()
        client.settings = Engine().core.settings
        change = asyncio.create_task(client.change_settings(budget=64))
        await asyncio.sleep(0)
        client.disconnected()
        with pytest.raises(ControlRefused, match="restarted"):
            await change
        await client.close()

    asyncio.run(main())
