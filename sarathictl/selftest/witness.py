"""Sees every record of a daemon's stats stream as it comes, to do something at a certain moment."""

from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

import zmq
import zmq.asyncio

from sarathictl.client.endpoint import Endpoint
from sarathid.protocol.codec import decode
from sarathid.protocol.control import DaemonState
from sarathid.protocol.stats import LifeCycle, StreamRecord

Record = TypeVar("Record")


class Witness:
    """A subscription to the stream, from the first record that comes on; a context manager."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.set_hwm(0)
        self._socket.subscribe(b"")
        self._socket.connect(f"ipc://{endpoint.stats}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._context.destroy(linger=0)

    async def first(self, type_: type[Record], accepts: Callable[[Record], bool] = lambda _record: True) -> Record:
        """Return the first record of a type, from now on, that `accepts` says yes to."""
        while True:
            _topic, _position, body = await self._socket.recv_multipart()
            record = decode(body, StreamRecord)
            if isinstance(record, type_) and accepts(record):
                return record

    async def state(self, state: DaemonState) -> float:
        """Return the monotonic second at which the daemon comes to be in a state."""
        return (await self.first(LifeCycle, lambda event: event.state == state)).time_s
