"""Questions to a daemon's control socket: one struct out, one struct back."""

import math
import time
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import zmq

from sarathictl.client.endpoint import Endpoint, check_reachable
from sarathictl.client.operations import Operations
from sarathid.errors import CodecError, ConfigError, ControlRefused, NotPermitted
from sarathid.protocol.codec import decode, encode
from sarathid.protocol.control import ControlFault, ControlRequest
from sarathid.protocol.roles import Role

DEFAULT_TIMEOUT_S = 5.0
PLAN_TIMEOUT_S = 600.0  # a forecast simulates minutes
LOOK_EVERY_S = 1.0

Reply = TypeVar("Reply")


class _Answer(msgspec.Struct, frozen=True):
    """A `ControlReply` whose `ok` is read when it is known what it should be: it may be a snapshot of megabytes."""

    id: int | None
    ok: msgspec.Raw = msgspec.Raw(b"\xc0")  # nil
    error: ControlFault | None = None


class ControlClient(Operations):
    """A connection to one daemon's control socket, for one thread; a context manager.

    It sends nothing that needs more than the role `limit`. Raises `NotReachable` when it is built and nobody listens.
    """

    def __init__(self, socket_path: Path, timeout_s: float = DEFAULT_TIMEOUT_S, *, limit: Role = Role.ADMIN) -> None:
        check_reachable(socket_path)
        self._limit = limit
        self._socket_path = socket_path
        self._timeout_s = timeout_s
        self._ids = count(1)
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        self._socket.connect(f"ipc://{socket_path}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, dropping what was not sent."""
        self._context.destroy(linger=0)

    def request(self, op: ControlRequest, reply_type: type[Reply]) -> Reply:
        """Return the daemon's answer to `op`.

        Raises `ControlRefused` when the daemon refuses it, `TimeoutError` when no answer comes in
        time, `NotReachable` when the daemon is gone, `CodecError` when the answer is not of
        `reply_type`, `ConfigError` when no message can hold `op`, and `NotPermitted` when it needs more than the limit.
        """
        if not self._limit.includes(op.needs):
            raise NotPermitted("this changes the daemon, and only reading was asked for (--read-only)")
        request_id = next(self._ids)
        try:
            message = encode(msgspec.structs.replace(op, id=request_id))
        except OverflowError as error:
            raise ConfigError("a number is larger than any that the daemon can be sent") from error
        self._socket.send(message)
        reply = self._receive(request_id)
        if reply.error is not None:
            raise ControlRefused(reply.error.code, reply.error.message, reply.error.hint)
        try:
            answer: Reply = decode(memoryview(reply.ok), reply_type)
        except CodecError as error:
            raise CodecError(f"the daemon's answer is not what this version expects: {error}") from error
        return answer

    def _receive(self, request_id: int) -> _Answer:
        """Return the reply to `request_id`, passing over replies that came after their time was up."""
        deadline_s = time.monotonic() + self._timeout_s
        while (remaining_s := deadline_s - time.monotonic()) > 0.0:
            if not self._socket.poll(math.ceil(min(remaining_s, LOOK_EVERY_S) * 1e3)):
                check_reachable(self._socket_path)  # the daemon may have ended with this request unanswered
                continue
            reply: _Answer = decode(self._socket.recv(), _Answer)
            if reply.id in (request_id, None):
                return reply
        raise TimeoutError(f"the daemon at {self._socket_path} did not answer within {self._timeout_s:g} s")


class ControlAsk:
    """Asks over a connection of its own each time, so that any thread may."""

    def __init__(self, endpoint: Endpoint, timeout_s: float = DEFAULT_TIMEOUT_S, *, limit: Role = Role.ADMIN) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._limit = limit

    def __call__(self, op: ControlRequest, reply_type: type[Reply]) -> Reply:
        with ControlClient(self._endpoint.control, self._timeout_s, limit=self._limit) as client:
            return client.request(op, reply_type)
