"""The client and the host together over a real socket, with the arithmetic model behind them."""

import asyncio
import itertools
import time

import pytest

from sarathid.engine.client import EngineClient
from sarathid.errors import ControlRefused, QueueFull, RequestRefused
from sarathid.protocol.changes import ChangeNote
from sarathid.protocol.requests import FinishReason, SamplingParams
from sarathid.protocol.stats import (
    IterationStats,
    RequestStats,
    SettingsChanged,
    StallCause,
    StallEvent,
    StreamRecord,
)
from sarathid.protocol.step import EngineWaits, StepOutput, TokenDelta
from sarathid.telemetry.pauses import Pauses
from sarathid.telemetry.timeline import refused_stats
from tests.engine.client_session import GREEDY, Session, read, running, talker, with_engine
from tests.engine.hosted import make_ready
from tests.engine.reading import deltas_of
from tests.factories import VOCAB_SIZE, Engine, expected_output, make_iteration, make_request


def test_an_engine_that_never_stops_talking_leaves_others_their_turn() -> None:
    async def main() -> None:
        client, heard = EngineClient(), list[StreamRecord]()
        client.subscribe(heard.append)
        with talker() as (connection, engine):
            connecting = asyncio.create_task(client.connect(connection))
            engine.send(make_ready(Engine()))
            for number in range(500):
                engine.send(make_iteration(number).scheduled)
            async with asyncio.timeout(20.0):
                await connecting
                talking, num_heard = asyncio.create_task(client.run()), [0]
                while num_heard[-1] < 500:
                    engine.flush(0)
                    await asyncio.sleep(0)
                    num_heard.append(len(heard))
            talking.cancel()
            await asyncio.wait((talking,))
        client.disconnected()
        await client.close()
        assert max(later - earlier for earlier, later in itertools.pairwise(num_heard)) <= 2

    asyncio.run(main())


def test_whom_an_engine_waits_for_is_known_before_it_is_ready() -> None:
    async def main() -> None:
        client = EngineClient()
        with talker() as (connection, engine):
            connecting = asyncio.create_task(client.connect(connection))
            engine.send(EngineWaits("node 2 of 2"))
            async with asyncio.timeout(20.0):
                while not client.silence.cause:
                    await asyncio.sleep(0)
                assert client.silence.cause == "; it waits for node 2 of 2"
                assert not connecting.done()
                engine.send(make_ready(Engine()))
                await connecting
        assert not client.silence.cause
        client.disconnected()
        await client.close()

    asyncio.run(main())


def test_a_request_that_no_frame_can_hold_fails_alone() -> None:
    async def body(session: Session) -> None:
        with pytest.raises(OverflowError):
            session.client.submit((1, 2), SamplingParams(top_k=2**70))
        assert session.client.num_in_flight == 0
        stream = session.client.submit((1, 2), GREEDY)
        async with asyncio.timeout(20.0):
            assert len(await read(stream)) == GREEDY.max_tokens
        stream.close()

    with_engine(body)


def test_a_stream_gives_the_models_tokens_and_its_record_once() -> None:
    async def body(session: Session) -> None:
        request = make_request(1, num_prompt_tokens=9, max_tokens=20)
        stream = session.client.submit(request.prompt_token_ids, GREEDY, client="me")
        tokens = []
        async for delta in deltas_of(stream):
            assert delta.token_id is not None
            tokens.append(delta.token_id)
            stream.mark_delivered(time.monotonic(), Pauses())
        assert tokens == expected_output(request, 20)
        stream.close()
        stream.close()
        await session.until(lambda: bool(session.of(RequestStats)))
        (stats,) = session.of(RequestStats)
        assert (stats.num_prompt_tokens, stats.num_output_tokens, stats.client) == (9, 20, "me")
        assert stats.finish_reason is FinishReason.LENGTH
        assert stats.ttft_s is not None
        assert stats.delivered_tbt_max_s is not None
        assert session.client.num_in_flight == 0

    with_engine(body)


def test_a_token_is_with_its_reader_before_it_is_told_what_it_took() -> None:
    async def body(session: Session) -> None:
        stream = session.client.submit((1, 2, 3), GREEDY)
        num_told = [len(session.of(IterationStats)) async for _ in deltas_of(stream)]
        assert num_told == list(range(20))
        stream.close()
        await session.until(lambda: len(session.of(RequestStats)) == 1)
        numbers = [stats.sequence_number for stats in session.of(IterationStats)]
        assert numbers == sorted(set(numbers))

    with_engine(body)


def test_what_ended_is_told_of_though_its_engine_goes_in_that_moment() -> None:
    async def main() -> None:
        session = Session(EngineClient())
        async with running(session.client, Engine()):
            stream = session.client.submit((1, 2, 3), GREEDY)
            await read(stream)
            assert not stream.stats  # the last iteration is not told of yet
        stream.close()
        assert [stats.num_output_tokens for stats in session.of(RequestStats)] == [20]
        assert session.client.num_in_flight == 0
        await session.client.close()

    asyncio.run(main())


def test_closing_early_cancels_in_the_engine() -> None:
    async def body(session: Session) -> None:
        stream = session.client.submit((1, 2, 3), SamplingParams(temperature=0.0, max_tokens=200))
        async for _ in deltas_of(stream):
            break
        stream.close(FinishReason.STOP)
        await session.until(lambda: bool(session.of(RequestStats)))
        assert session.of(RequestStats)[0].finish_reason is FinishReason.STOP
        assert session.client.list_requests(time.monotonic()) == ()

    with_engine(body)


def test_an_operator_cancels_by_id() -> None:
    async def body(session: Session) -> None:
        stream = session.client.submit((1, 2, 3), SamplingParams(temperature=0.0, max_tokens=200))
        assert session.client.cancel(stream.request_id)
        assert not session.client.cancel(99)
        reasons = [delta.finish_reason async for delta in deltas_of(stream)]
        assert reasons[-1] is FinishReason.CANCELLED
        assert not session.client.cancel(stream.request_id)
        stream.close()

    with_engine(body)


def test_a_change_is_answered_with_old_new_and_the_iteration() -> None:
    async def body(session: Session) -> None:
        stream = session.client.submit((1,) * 200, GREEDY)
        applied = await session.client.change_settings(budget=64, note=ChangeNote(changed_by="uid 0"))
        assert (applied.old.token_budget, applied.new.token_budget, applied.new.revision) == (16, 64, 1)
        await read(stream)
        stream.close()
        for stats in session.of(IterationStats):
            assert stats.token_budget == (64 if stats.sequence_number >= applied.iteration else 16)
        assert [change.changed_by for change in session.of(SettingsChanged)] == ["uid 0"]
        with pytest.raises(ControlRefused, match="outside 1 to 4096"):
            await session.client.change_settings(budget=5000)

    with_engine(body)


def test_what_can_never_be_served_is_refused_before_anything_happens() -> None:
    async def body(session: Session) -> None:
        for prompt, sampling, param in (
            ((), GREEDY, "prompt"),
            ((1,) * 256, GREEDY, "prompt"),
            ((VOCAB_SIZE,), GREEDY, "prompt"),
            ((-1,), GREEDY, "prompt"),
            ((1,), SamplingParams(logit_bias={VOCAB_SIZE: 1.0}), "logit_bias"),
        ):
            with pytest.raises(RequestRefused) as refused:
                session.client.submit(prompt, sampling)
            assert refused.value.param == param
        assert session.client.num_in_flight == 0

    with_engine(body)


def test_the_queue_is_bounded() -> None:
    async def body(session: Session) -> None:
        streams = [session.client.submit((1, 2), GREEDY) for _ in range(4)]
        with pytest.raises(QueueFull):
            session.client.submit((1, 2), GREEDY)
        for stream in streams:
            assert len(await read(stream)) == 20
            stream.close()

    with_engine(body)


def test_who_fills_the_queue_keeps_nobody_else_out() -> None:
    async def body(session: Session) -> None:
        streams = [session.client.submit((1, 2), GREEDY, owner="flood") for _ in range(4)]
        streams += [session.client.submit((1, 2), GREEDY, owner="web") for _ in range(2)]
        for owner in ("flood", "web"):
            with pytest.raises(QueueFull):
                session.client.submit((1, 2), GREEDY, owner=owner)
        streams.append(session.client.submit((1, 2), GREEDY, owner="third"))
        for stream in streams:
            await read(stream)
            stream.close()

    with_engine(body)


def test_a_status_says_whose_a_request_is_and_where_it_stands() -> None:
    async def body(session: Session) -> None:
        streams = [session.client.submit((1, 2), GREEDY, owner="web", priority=priority) for priority in (0, 3)] + [
            session.client.submit((1, 2), GREEDY, owner="batch")
        ]
        found = session.client.list_requests(0.0)
        assert [(status.owner, status.priority, status.place) for status in found] == [
            ("web", 0, 1),
            ("web", 3, 2 + 3 * 32),
            ("batch", 0, 1),
        ]
        for stream in streams:
            await read(stream)
            stream.close()

    with_engine(body)


def test_prompts_that_wait_are_bounded_in_tokens() -> None:
    async def main() -> None:
        client = EngineClient(max_waiting_tokens=50)
        async with running(client, Engine()):
            streams = [client.submit((1,) * 40, GREEDY) for _ in range(2)]
            with pytest.raises(QueueFull, match="50 tokens"):
                client.check_room()
            for stream in streams:
                await read(stream)
                stream.close()
            client.check_room()
        await client.close()

    asyncio.run(main())


def test_nothing_is_taken_before_an_engine_was_ready() -> None:
    async def body() -> None:
        client = EngineClient()
        with pytest.raises(QueueFull):
            client.submit((1,), GREEDY)
        with pytest.raises(ControlRefused):
            await client.change_settings(budget=64)
        await client.close()

    asyncio.run(body())


@pytest.mark.parametrize(("timeout_s", "reason"), [(None, FinishReason.CANCELLED), (0.01, FinishReason.TIMEOUT)])
def test_a_reader_need_not_wait_for_an_engine_that_is_in_an_iteration(
    timeout_s: float | None, reason: FinishReason
) -> None:
    async def main() -> None:
        session = Session(EngineClient())
        with talker() as (connection, engine):
            connecting = asyncio.create_task(session.client.connect(connection))
            engine.send(make_ready(Engine()))
            async with asyncio.timeout(20.0):
                await connecting
            talking = asyncio.create_task(session.client.run())
            stream = session.client.submit((1, 2, 3), GREEDY, timeout_s=timeout_s)
            if timeout_s is None:
                assert session.client.cancel(stream.request_id)
                assert not session.client.cancel(stream.request_id)
            async with asyncio.timeout(20.0):
                (delta,) = [delta async for delta in deltas_of(stream)]
            assert delta == TokenDelta(stream.request_id, None, reason)
            assert not session.client.list_requests(time.monotonic())
            stream.close()
            assert session.client.num_in_flight == 0
            stats = refused_stats(stream.request, 2.0)
            engine.send(StepOutput(deltas=(TokenDelta(stream.request_id, 7),), finished=(stats,)))
            await session.until(lambda: bool(session.of(RequestStats)))
            talking.cancel()
            await asyncio.wait((talking,))
        assert not stream.output_token_ids
        assert [stats.finish_reason for stats in session.of(RequestStats)] == [reason]
        await session.client.close()

    asyncio.run(main())


def test_a_client_that_is_closed_tells_its_observers_no_more() -> None:
    async def main() -> None:
        session = Session(EngineClient())
        async with running(session.client, Engine()):
            stream = session.client.submit((1, 2, 3), SamplingParams(temperature=0.0, max_tokens=250))
            await session.until(lambda: len(stream.output_token_ids) > 1)
        await session.client.close()
        num_records = len(session.records)
        stream.close()
        assert session.client.num_in_flight == 0
        assert len(session.records) == num_records

    asyncio.run(main())


def test_a_token_that_reaches_its_client_late_is_a_delivery_stall() -> None:
    async def body(session: Session) -> None:
        stream = session.client.submit((1, 2, 3), GREEDY)
        num_read, unread = 0, Pauses()
        unread.begin(time.monotonic())
        async for _ in deltas_of(stream):
            num_read += 1
            stream.mark_delivered(time.monotonic() + (2.0 if num_read == 10 else 0.0), unread)
        stream.close()
        (stall,) = [stall for stall in session.of(StallEvent) if stall.worst_gap_s >= 2.0]
        assert (stall.cause, stall.is_delivery) == (StallCause.SLOW_READER, True)
        assert [victim.request_id for victim in stall.victims] == [stream.request_id]

    with_engine(body)
