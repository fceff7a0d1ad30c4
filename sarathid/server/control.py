"""Answers operators on `control.sock`: one MessagePack map a request, one a reply."""

import asyncio
import logging
import reprlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, get_args

import msgspec
import zmq
import zmq.asyncio

from sarathid.clock import Clock
from sarathid.engine.client import EngineClient
from sarathid.errors import CodecError, ControlRefused
from sarathid.executor.unexpected import UnexpectedFault
from sarathid.protocol.codec import MAX_CONTROL_BYTES, PROTOCOL_VERSION, decode, encode
from sarathid.protocol.control import (
    Cancel,
    Cancelled,
    ChangeRequest,
    ControlFault,
    ControlOp,
    ControlReply,
    ControlRequest,
    Drain,
    Draining,
    ErrorCode,
    ExplainBudget,
    ExplainRequest,
    GetAudit,
    GetHistory,
    GetRecording,
    GetSnapshot,
    GetStatus,
    Keep,
    ListRequests,
    Pause,
    Paused,
    Plan,
    RecordingPart,
    Resume,
    Resumed,
    Retuned,
)
from sarathid.protocol.plan import Planned
from sarathid.server.access import Access, Client, refusal
from sarathid.server.explainer import Explainer
from sarathid.server.peer import Peer
from sarathid.server.retuning import Retuner
from sarathid.server.status import StatusReporter
from sarathid.telemetry.connection_limit import limit_connections

MAX_CONCURRENT_REQUESTS = 64
MAX_CONCURRENT_CHANGES = 64  # those alone wait for the engine, which may hang

log = logging.getLogger(__name__)

_OPS: dict[str, type[ControlRequest]] = {op.__struct_config__.tag: op for op in get_args(ControlOp)}


class Doors(Protocol):
    """Who lets requests in: `daemon.Daemon`."""

    def drain(self, timeout_s: float | None = None) -> Draining:
        """Let nothing more in, and end when all that runs has ended, or after `timeout_s`."""
        ...

    def pause(self) -> Paused:
        """Let nothing more in for now; raises `ControlRefused` where nothing is let in anyway."""
        ...

    def resume(self) -> Resumed:
        """Let requests in again; raises `ControlRefused` where nothing was paused."""
        ...


class ControlServer:
    """A ROUTER socket whose loop outlives whatever is sent to it.

    Each request is answered in a task of its own, so that one that waits for the engine holds up nobody.
    """

    def __init__(
        self,
        context: zmq.asyncio.Context,
        listener: socket.socket,
        engine: EngineClient,
        reporter: StatusReporter,
        retuner: Retuner,
        explainer: Explainer,
        plan: Callable[[Plan], Awaitable[Planned]],
        read_recording: Callable[[GetRecording], Awaitable[RecordingPart]],
        doors: Doors,
        access: Access,
        clock: Clock,
    ) -> None:
        """Answer on a listening Unix socket, which the server takes over."""
        endpoint = listener.getsockname()
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 500
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_CONTROL_BYTES)
        self._socket.setsockopt(zmq.USE_FD, listener.detach())
        limit_connections(self._socket, endpoint)
        self._socket.bind(f"ipc://{endpoint}")
        self._engine = engine
        self._reporter = reporter
        self._retuner = retuner
        self._explainer = explainer
        self._plan = plan
        self._read_recording = read_recording
        self._doors = doors
        self._access = access
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._num_changing = 0

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            frames = await self._socket.recv_multipart(copy=False)
            if len(self._tasks) - self._num_changing < MAX_CONCURRENT_REQUESTS:
                task = asyncio.create_task(self._answer(frames))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                await self._reply(frames[0].bytes, fault(None, ErrorCode.UNAVAILABLE, "too many requests at once"))
            await asyncio.sleep(0)  # what is there already is received at once, and others want their turn

    def close(self) -> None:
        """Stop; replies that are queued still go out."""
        for task in self._tasks:
            task.cancel()
        self._socket.close()

    async def _answer(self, frames: list[zmq.Frame]) -> None:
        identity, *bodies = frames
        if len(bodies) != 1:
            await self._reply(identity.bytes, fault(None, ErrorCode.MALFORMED, "a request is one frame"))
            return
        peer = _peer_of(bodies[0])
        if peer is None:
            refused = fault(None, ErrorCode.NOT_PERMITTED, "it is not known who you are; speak ZMTP 3")
            await self._reply(identity.bytes, refused)
            return
        await self._reply(identity.bytes, await self._reply_to(bodies[0].bytes, peer))

    async def _reply_to(self, body: bytes, peer: Peer) -> ControlReply:
        try:
            message = decode(body, dict[str, Any], MAX_CONTROL_BYTES)
        except CodecError as error:
            return fault(None, ErrorCode.MALFORMED, str(error))
        request_id = message.get("id") if type(message.get("id")) is int else None  # True is an int, and no id
        try:
            op = parse_op(message)
            client = self._permitted(op, peer)
            return ControlReply(id=request_id, ok=await self._perform(op, client))
        except ControlRefused as refused:
            return fault(request_id, ErrorCode(refused.code), str(refused), refused.hint)
        except Exception:  # noqa: BLE001 - who asked is told, whatever it was, and the daemon serves on
            unexpected = UnexpectedFault.caught()
            log.error("%s", unexpected.for_log)
            return fault(request_id, ErrorCode.UNAVAILABLE, str(unexpected))

    def _permitted(self, op: ControlRequest, peer: Peer) -> Client:
        """Return the client that a peer is, which may ask `op`; raises `ControlRefused` for another."""
        client = self._access.client(peer)
        if not self._access.permits(client, op.needs):
            hint = "the daemon's --roles gives roles to users and groups"
            raise ControlRefused(ErrorCode.NOT_PERMITTED, refusal(client, op.needs), hint)
        return client

    async def _perform(self, op: ControlRequest, client: Client) -> Any:
        """Return what answers `op`; raises `ControlRefused`."""
        match op:
            case GetStatus():
                return self._reporter.status(client.role)
            case GetSnapshot(num_iterations=num_iterations):
                return self._reporter.snapshot(num_iterations, client.role)
            case ListRequests():
                return self._reporter.requests()
            case ChangeRequest():
                return await self._change(op, client.label)
            case Keep(revision=revision):
                return self._retuner.keep(revision, client.label)
            case GetHistory(since_revision=number):
                return self._retuner.history(number)
            case GetAudit():
                return await self._retuner.audit(op)
            case ExplainBudget():
                return self._explainer.budget()
            case ExplainRequest(request_id=request_id):
                return self._explainer.request(request_id)
            case Plan():
                return await self._plan(op)
            case GetRecording():
                return await self._read_recording(op)
            case Cancel(request_id=request_id):
                return self._cancel(request_id)
            case Drain(timeout_s=timeout_s):
                return self._doors.drain(timeout_s)
            case Pause():
                return self._doors.pause()
            case Resume():
                return self._doors.resume()
        raise AssertionError(f"no handler for {op}")

    async def _change(self, op: ChangeRequest, peer: str) -> Retuned:
        if self._num_changing >= MAX_CONCURRENT_CHANGES:
            raise ControlRefused(
                ErrorCode.UNAVAILABLE, f"{self._num_changing} changes wait for the engine already", "ask again later"
            )
        self._num_changing += 1
        try:
            return await self._retuner.change(op, peer)
        finally:
            self._num_changing -= 1

    def _cancel(self, request_id: int) -> Cancelled:
        if not self._engine.cancel(request_id):
            raise ControlRefused(
                ErrorCode.NOT_FOUND, f"there is no request {request_id}", "`sarathictl requests` lists them"
            )
        return Cancelled(request_id=request_id)

    async def _reply(self, identity: bytes, reply: ControlReply) -> None:
        await self._socket.send_multipart([identity, encode(reply)])


def parse_op(message: dict[str, Any]) -> ControlRequest:
    """Return the operation that a request asks for.

    Raises `ControlRefused` for another version, an operation that does not exist, or wrong fields.
    """
    version, name = message.get("v", PROTOCOL_VERSION), message.get("op")
    if version != PROTOCOL_VERSION:
        found = reprlib.repr(version)
        raise ControlRefused(ErrorCode.VERSION, f"this daemon speaks version {PROTOCOL_VERSION}, not {found}")
    if not isinstance(name, str) or name not in _OPS:
        raise ControlRefused(
            ErrorCode.UNKNOWN_OP, f"there is no operation {reprlib.repr(name)}", f"known: {', '.join(_OPS)}"
        )
    try:
        return msgspec.convert(message, _OPS[name])
    except msgspec.ValidationError as error:
        raise ControlRefused(ErrorCode.MALFORMED, str(error)) from error


def _peer_of(frame: zmq.Frame) -> Peer | None:
    """Return who sent a frame; None for one of a connection that speaks the first ZMTP, where ZeroMQ does not tell."""
    try:
        return Peer.of_address(str(frame.get("Peer-Address")))
    except zmq.ZMQError:
        return None


def fault(request_id: int | None, code: ErrorCode, message: str, hint: str = "") -> ControlReply:
    """Return the reply that refuses a request."""
    return ControlReply(id=request_id, error=ControlFault(code=code, message=message, hint=hint))
