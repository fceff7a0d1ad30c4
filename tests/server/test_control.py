import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
import zmq
import zmq.asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from sarathid.clock import MonotonicClock
from sarathid.config import Grants
from sarathid.engine.client import EngineClient
from sarathid.errors import ControlRefused
from sarathid.protocol.codec import PROTOCOL_VERSION, decode
from sarathid.protocol.control import (
    ControlReply,
    Draining,
    ErrorCode,
    GetRecording,
    Paused,
    Plan,
    RecordingPart,
    RequestList,
    Resumed,
    Snapshot,
    Status,
)
from sarathid.protocol.plan import Planned
from sarathid.protocol.requests import SamplingParams
from sarathid.protocol.roles import Role
from sarathid.protocol.stats import IterationScheduled, SettingsChanged
from sarathid.protocol.why import BudgetReasons, RequestReasons
from sarathid.server.access import Access
from sarathid.server.availability import Availability
from sarathid.server.control import MAX_CONCURRENT_CHANGES, ControlServer, parse_op
from sarathid.server.explainer import Explainer
from sarathid.server.kept_settings import KeptSettings
from sarathid.server.promises import StartPromises
from sarathid.server.retuning import Retuner
from sarathid.server.runtime_directory import RuntimeDirectory
from sarathid.server.status import StatusReporter
from sarathid.telemetry.audit_log import AuditLog
from sarathid.telemetry.board import Board
from sarathid.telemetry.publisher import StatsPublisher
from tests.engine.reading import deltas_of
from tests.factories import make_planned
from tests.server.scripted_engine import scripted_engine

Ask = Callable[..., Awaitable[ControlReply]]


LONGEST_S = 3600.0

_OPS = (
    *("status", "requests", "set-budget", "set-policy", "set-slo", "undo", "keep", "history", "audit"),
    *("cancel", "drain", "pause", "resume", "snapshot", "why-budget", "why-request", "plan"),
)
_READABLE = {"status", "requests", "history", "audit", "snapshot", "why-budget", "why-request"}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "set-budget": {"budget": 64},
    "set-policy": {"policy": "stall-free"},
    "set-slo": {"slo": {"tbt_s": 1.0}},
    "why-request": {"request_id": 1},
    "cancel": {"request_id": 1},
}


class Operator:
    """A DEALER on the control socket, the engine behind it, and what the daemon folded."""

    def __init__(self, dealer: zmq.asyncio.Socket, engine: EngineClient, board: Board) -> None:
        self.dealer = dealer
        self.engine = engine
        self.board = board

    async def ask(self, op: str, **fields: Any) -> ControlReply:
        return await self.send(msgpack.packb({"v": PROTOCOL_VERSION, "id": 7, "op": op} | fields))

    async def send(self, *frames: bytes) -> ControlReply:
        await self.dealer.send_multipart(frames)
        reply: ControlReply = decode(await self.dealer.recv(), ControlReply)
        return reply


def with_operator(
    directory: Path,
    use: Callable[[Operator], Awaitable[None]],
    pace_s: float = 0.005,
    role: Role | None = Role.ADMIN,
) -> None:
    async def main() -> None:
        context = zmq.asyncio.Context()
        clock = MonotonicClock()
        async with scripted_engine(ends=False, pace_s=pace_s) as engine:
            with RuntimeDirectory(directory / "run") as run:
                board = Board()
                publisher = StatsPublisher(
                    zmq.Context(context), run.listen("stats.sock"), clock, user_ids=[os.getuid()]
                )
                engine.subscribe(board.observe)
                reporter = StatusReporter(engine, board, publisher, Availability(), clock, lambda: 0)
                retuner = make_retuner(engine, board, directory)
                listener = run.listen("control.sock")
                promises = StartPromises()
                engine.subscribe(promises.observe)
                explainer = Explainer(engine, board, promises, clock)
                access = Access(Grants({} if role is None else {os.getuid(): role}), own_uid=os.getuid() + 1)
                server = ControlServer(
                    context, listener, engine, reporter, retuner, explainer, _plan, _read, _Doors(), access, clock
                )
                serving = asyncio.create_task(server.run())
                with context.socket(zmq.DEALER) as dealer:
                    dealer.linger = 0
                    dealer.connect(f"ipc://{run.path}/control.sock")
                    await use(Operator(dealer, engine, board))
                serving.cancel()
                server.close()
                publisher.close()
        context.term()

    asyncio.run(main())


def make_retuner(engine: EngineClient, board: Board, state_dir: Path) -> Retuner:
    """Return the retuner of a daemon whose engine is ready."""
    clock = MonotonicClock()
    retuner = Retuner(engine, board, AuditLog(state_dir), KeptSettings(state_dir), frozenset(), clock, lambda: 1e9)
    assert engine.settings is not None
    retuner.begin(engine.settings)
    engine.subscribe(retuner.observe)
    return retuner


async def _plan(op: Plan) -> Planned:
    return make_planned(span_s=op.last_s)


async def _read(op: GetRecording) -> RecordingPart:
    if op.last_s > LONGEST_S:
        raise RuntimeError("can't start new thread")
    return RecordingPart(frames=bytes(range(256)), since_s=op.last_s, file=3, offset=9)


class _Doors:
    def drain(self, timeout_s: float | None = None) -> Draining:
        return Draining(num_in_flight=0, timeout_s=timeout_s or 30.0)

    def pause(self) -> Paused:
        return Paused(num_in_flight=0)

    def resume(self) -> Resumed:
        raise ControlRefused(ErrorCode.CONFLICT, "the daemon is ready, not paused")


def test_a_recording_comes_in_parts_of_bytes(tmp_path: Path) -> None:
    async def ask(operator: Operator) -> None:
        reply = await operator.ask("recording", last_s=60.0)

        part = RecordingPart(frames=bytes(range(256)), since_s=60.0, file=3, offset=9)
        assert msgspec.convert(reply.ok, RecordingPart) == part
        assert (await operator.ask("recording", last_s=0.0)).error is not None

    with_operator(tmp_path, ask)


def test_an_operation_that_fails_unexpectedly_is_answered_and_the_log_has_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(operator: Operator) -> None:
        reply = await operator.ask("recording", last_s=LONGEST_S + 1.0)

        assert reply.error is not None
        assert (reply.id, reply.error.code) == (7, ErrorCode.UNAVAILABLE)
        assert "of which the log tells under fault" in reply.error.message
        assert "can't start new thread" in caplog.text
        assert (await operator.ask("status")).error is None

    with_operator(tmp_path, ask)


def test_status_and_snapshot_tell_of_a_daemon_with_nothing_to_do(tmp_path: Path) -> None:
    async def use(operator: Operator) -> None:
        status = decode(msgpack.packb((await operator.ask("status")).ok), Status)
        snapshot = decode(msgpack.packb((await operator.ask("snapshot")).ok), Snapshot)
        assert status.engine == operator.engine.info
        assert (status.num_blocks_used, status.num_blocks_free) == (0, 256)
        assert snapshot.iterations == ()
        assert set(snapshot.stream_positions.values()) == {0}

    with_operator(tmp_path, use)


def test_a_new_budget_is_answered_with_both_and_bears_the_operators_name(tmp_path: Path) -> None:
    async def use(operator: Operator) -> None:
        reply = await operator.ask("set-budget", budget=64)
        assert reply.id == 7
        assert (reply.ok["old"]["token_budget"], reply.ok["new"]["token_budget"]) == (128, 64)
        (event,) = operator.board.events
        assert isinstance(event, SettingsChanged)
        assert event.changed_by.startswith(f"{os.getuid()}/{os.getpid()}/")

    with_operator(tmp_path, use)


def test_a_budget_out_of_range_is_refused_with_the_range(tmp_path: Path) -> None:
    async def use(operator: Operator) -> None:
        error = (await operator.ask("set-budget", budget=5)).error
        assert error is not None
        assert error.code is ErrorCode.OUT_OF_RANGE
        assert "16" in error.message
        assert "8192" in error.message

    with_operator(tmp_path, use)


def test_changes_that_wait_for_an_engine_that_hangs_hold_up_nobody_else(tmp_path: Path) -> None:
    async def use(operator: Operator) -> None:
        is_busy = asyncio.Event()
        operator.engine.subscribe(lambda record: is_busy.set() if isinstance(record, IterationScheduled) else None)
        operator.engine.submit((1, 2, 3), SamplingParams(temperature=0.0))
        await is_busy.wait()
        body = msgpack.packb({"op": "set-budget", "budget": 64})
        for _ in range(MAX_CONCURRENT_CHANGES):
            await operator.dealer.send(body)
        reply = await operator.send(body)
        assert reply.error is not None
        assert reply.error.code is ErrorCode.UNAVAILABLE
        assert (await operator.ask("status")).ok is not None

    with_operator(tmp_path, use, pace_s=3.0)


def test_requests_are_listed_and_cancelled(tmp_path: Path) -> None:
    async def use(operator: Operator) -> None:
        stream = operator.engine.submit((1, 2, 3), SamplingParams(temperature=0.0))
        await anext(deltas_of(stream))
        listed = decode(msgpack.packb((await operator.ask("requests")).ok), RequestList)
        assert [request.request_id for request in listed.requests] == [stream.request_id]
        assert (await operator.ask("cancel", request_id=stream.request_id)).error is None
        async for delta in deltas_of(stream):
            last = delta
        assert last.finish_reason == "cancelled"
        stream.close()
        error = (await operator.ask("cancel", request_id=stream.request_id)).error
        assert error is not None
        assert error.code is ErrorCode.NOT_FOUND

    with_operator(tmp_path, use)


def test_reasons_are_given_for_the_budget_and_for_requests_that_are_known(tmp_path: Path) -> None:
    async def use(operator: Operator) -> None:
        budget = decode(msgpack.packb((await operator.ask("why-budget")).ok), BudgetReasons)
        assert budget.settings == operator.engine.settings
        stream = operator.engine.submit((1, 2, 3), SamplingParams(temperature=0.0))
        await anext(deltas_of(stream))
        reply = await operator.ask("why-request", request_id=stream.request_id)
        found = decode(msgpack.packb(reply.ok), RequestReasons)
        assert found.status is not None
        assert found.status.request_id == stream.request_id
        error = (await operator.ask("why-request", request_id=99)).error
        assert error is not None
        assert error.code is ErrorCode.NOT_FOUND

    with_operator(tmp_path, use)


def test_a_plan_is_answered_and_a_longer_memory_than_there_is_refused(tmp_path: Path) -> None:
    async def use(operator: Operator) -> None:
        planned = decode(msgpack.packb((await operator.ask("plan", last_s=60.0)).ok), Planned)
        assert planned == make_planned(span_s=60.0)
        error = (await operator.ask("plan", last_s=1e6)).error
        assert error is not None
        assert error.code is ErrorCode.MALFORMED

    with_operator(tmp_path, use)


@pytest.mark.parametrize(
    ("role", "permitted"),
    [
        (None, set()),
        (Role.READ, _READABLE),
        (Role.INFER, _READABLE),
        (Role.OPERATE, set(_OPS) - {"drain", "pause", "resume"}),
        (Role.ADMIN, set(_OPS)),
    ],
)
def test_a_peer_may_ask_what_its_role_may_and_no_more(tmp_path: Path, role: Role | None, permitted: set[str]) -> None:
    async def use(operator: Operator) -> None:
        errors = {op: (await operator.ask(op, **_EXAMPLES.get(op, {}))).error for op in _OPS}
        refused = {op for op, error in errors.items() if error is not None and error.code is ErrorCode.NOT_PERMITTED}
        assert refused == set(_OPS) - permitted

    with_operator(tmp_path, use, role=role)


def test_who_does_not_say_who_it_is_is_refused(tmp_path: Path) -> None:
    status = msgpack.packb({"op": "status"})

    async def use(_operator: Operator) -> None:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "run" / "control.sock")
        writer.write(b"\x01\x00" + bytes([1 + len(status), 0]) + status)  # ZMTP 1.0: no name, then one frame
        await reader.readexactly(10)  # ZeroMQ's own name, in ten bytes that newer versions know it by
        length, _flags = await reader.readexactly(2)
        reply: ControlReply = decode(await reader.readexactly(length - 1), ControlReply)
        assert reply.error is not None
        assert reply.error.code is ErrorCode.NOT_PERMITTED
        writer.close()
        await writer.wait_closed()

    with_operator(tmp_path, use)


def test_the_status_tells_what_its_reader_may_do(tmp_path: Path) -> None:
    async def use(operator: Operator) -> None:
        assert (await operator.ask("status")).ok["role"] == "operate"

    with_operator(tmp_path, use, role=Role.OPERATE)


def test_a_refusal_is_told_once_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def use(operator: Operator) -> None:
        for _ in range(3):
            await operator.ask("drain")

    with_operator(tmp_path, use, role=Role.OPERATE)

    (told,) = caplog.messages
    assert told.startswith(f"uid {os.getuid()} ({os.getuid()}/{os.getpid()}/")


def test_a_pause_is_answered_at_once_and_a_resume_without_one_refused(tmp_path: Path) -> None:
    async def use(operator: Operator) -> None:
        assert (await operator.ask("pause")).ok == {"num_in_flight": 0}
        error = (await operator.ask("resume")).error
        assert error is not None
        assert error.code is ErrorCode.CONFLICT

    with_operator(tmp_path, use)


def test_a_drain_is_answered_at_once(tmp_path: Path) -> None:
    async def use(operator: Operator) -> None:
        assert (await operator.ask("drain", timeout_s=5.0)).ok == {"num_in_flight": 0, "timeout_s": 5.0}

    with_operator(tmp_path, use)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b""], ErrorCode.MALFORMED),
        ([b"\xc1"], ErrorCode.MALFORMED),
        ([msgpack.packb([1, 2])], ErrorCode.MALFORMED),
        ([msgpack.packb({"op": "status"}), b"more"], ErrorCode.MALFORMED),
        ([b"\x81" * 5000], ErrorCode.MALFORMED),
        ([msgpack.packb({"op": "status", "v": 99})], ErrorCode.VERSION),
        ([msgpack.packb({"op": "reboot"})], ErrorCode.UNKNOWN_OP),
        ([msgpack.packb({"op": ["status"]})], ErrorCode.UNKNOWN_OP),
        ([msgpack.packb({})], ErrorCode.UNKNOWN_OP),
        ([b"\x81\x90\x01"], ErrorCode.MALFORMED),
        ([b"\x81\xa1v" + b"\x91" * 100 + b"\x01"], ErrorCode.VERSION),
        ([b"\x81\xa2op" + b"\x91" * 100 + b"\x01"], ErrorCode.UNKNOWN_OP),
        ([b"\x81\xa2op" + b"\x91" * 100_000 + b"\x01"], ErrorCode.MALFORMED),
        ([msgpack.packb({"op": "set-policy", "policy": "x" * 65})], ErrorCode.MALFORMED),
        ([msgpack.packb({"op": "set-budget"})], ErrorCode.MALFORMED),
        ([msgpack.packb({"op": "set-budget", "id": True})], ErrorCode.MALFORMED),
        ([msgpack.packb({"op": "set-budget", "budget": "many"})], ErrorCode.MALFORMED),
        ([msgpack.packb({"op": "drain", "timeout_s": -1})], ErrorCode.MALFORMED),
        ([msgpack.packb({"op": "recording", "offset": 2**63 - 1})], ErrorCode.MALFORMED),
        ([msgpack.packb({"op": "set-policy", "policy": "nope"})], ErrorCode.OUT_OF_RANGE),
    ],
)
def test_garbage_gets_a_typed_error_and_the_next_request_an_answer(
    tmp_path: Path, frames: list[bytes], code: ErrorCode
) -> None:
    async def use(operator: Operator) -> None:
        error = (await operator.send(*frames)).error
        assert error is not None
        assert error.code is code
        assert (await operator.ask("status")).error is None

    with_operator(tmp_path, use)


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
_FIELDS = (
    *("budget", "policy", "slo", "if_revision", "reason", "confirm_s", "guard", "predicted", "dry_run", "revision"),
    *("request_id", "timeout_s", "num_iterations", "since_revision", "force", "since_s", "by", "v", "id"),
)


@settings(max_examples=300)
@given(st.sampled_from(_OPS), st.dictionaries(st.sampled_from(_FIELDS), _VALUES))
def test_any_map_is_an_operation_or_refused(op: str, fields: dict[str, Any]) -> None:
    try:
        parse_op({"op": op} | fields)
    except ControlRefused as refused:
        assert ErrorCode(refused.code)
