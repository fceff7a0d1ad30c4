"""The client and the host together over a real socket, with the arithmetic model behind them."""

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import pytest

from sarathid.engine.client import MAX_ENGINES_LOST, EngineClient
from sarathid.engine.link import DaemonLink
from sarathid.engine.token_stream import TokenStream
from sarathid.errors import ControlRefused, QueueFull, RequestRefused
from sarathid.protocol.changes import ChangeNote
from sarathid.protocol.requests import FinishReason, SamplingParams
from sarathid.protocol.stats import (
    IterationScheduled,
    IterationStats,
    RequestStats,
    SettingsChanged,
    StallCause,
    StallEvent,
    StreamRecord,
)
from sarathid.protocol.step import EngineWaits, NewTokens, StepOutput, TokenDelta
from sarathid.telemetry.pauses import Pauses
from sarathid.telemetry.timeline import refused_stats
from tests.engine.hosted import hosted_engine, make_ready
from tests.engine.reading import deltas_of
from tests.factories import VOCAB_SIZE, Engine, expected_output, make_iteration, make_request

Record = TypeVar("Record")
GREEDY = SamplingParams(temperature=0.0, max_tokens=20, ignore_eos=True)


class Session:
    """A connected client and every record that it published."""

    def __init__(self, client: EngineClient) -> None:
        self.client = client
        self.records: list[StreamRecord] = []
        self._changed = asyncio.Event()
        client.subscribe(self._note)

    def of(self, type_: type[Record]) -> list[Record]:
        return [record for record in self.records if isinstance(record, type_)]

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait, record by record, until the condition holds."""
        async with asyncio.timeout(20.0):
            while not is_true():
                self._changed.clear()
                await self._changed.wait()

    def _note(self, record: StreamRecord) -> None:
        self.records.append(record)
        self._changed.set()


@asynccontextmanager
async def running(client: EngineClient, engine: Engine) -> AsyncIterator[None]:
    """Connect the client to `engine` and pass messages on; on leaving the engine is gone."""
    with hosted_engine(engine) as connection:
        await client.connect(connection)
        talking = asyncio.create_task(client.run())
        try:
            yield
        finally:
            talking.cancel()
            await asyncio.wait((talking,))
            client.disconnected()


@contextmanager
def talker() -> Iterator[tuple[socket.socket, DaemonLink]]:
    """Give the daemon's end of a socket, and what speaks at the other."""
    ours, theirs = socket.socketpair()
    with contextlib.closing(DaemonLink(theirs)) as link:
        yield ours, link


def with_engine(body: Callable[[Session], Awaitable[None]], **engine: int) -> None:
    """Run `body` with a session over a new engine."""

    async def main() -> None:
        session = Session(EngineClient(max_queue_len=4))
        async with running(session.client, Engine(**engine)):  # type: ignore[arg-type]
            await body(session)
        await session.client.close()

    asyncio.run(main())


async def read(stream: TokenStream) -> list[int]:
    return [delta.token_id async for delta in deltas_of(stream) if delta.token_id is not None]


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
