"""A daemon that only talks: ROUTER and PUB sockets that speak the real protocol, in a thread."""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq

from sarathid.errors import ControlRefused
from sarathid.paths import CONTROL_SOCKET, STATS_SOCKET
from sarathid.protocol.codec import decode, encode
from sarathid.protocol.control import ControlFault, ControlOp, ControlReply, ControlRequest, ErrorCode, GetStatus
from sarathid.protocol.stats import (
    Heartbeat,
    IterationScheduled,
    IterationStats,
    RequestStats,
    StreamRecord,
    Topic,
)
from tests.sarathictl.records import make_status

_TOPICS: dict[type[Any], Topic] = {
    IterationScheduled: Topic.SCHEDULED,
    IterationStats: Topic.ITERATION,
    RequestStats: Topic.REQUEST,
    Heartbeat: Topic.HEARTBEAT,
}


class StubDaemon:
    """Answers each control operation by the function given for its type, and its status; `publish` sends records."""

    def __init__(self, runtime_dir: Path, answers: dict[type[ControlRequest], Callable[[Any], Any]]) -> None:
        self.answers = {GetStatus: lambda _: make_status()} | answers
        self.asked: list[ControlOp] = []
        self._positions: Counter[Topic] = Counter()
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.bind(f"ipc://{runtime_dir / CONTROL_SOCKET}")
        self._publisher = self._context.socket(zmq.XPUB)
        self._publisher.bind(f"ipc://{runtime_dir / STATS_SOCKET}")
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._is_closing.set()
        self._thread.join()
        self._context.destroy(linger=0)

    @property
    def stream_positions(self) -> dict[str, int]:
        return {topic.value: position for topic, position in self._positions.items()}

    def wait_for_subscriber(self) -> None:
        """Return once somebody has subscribed."""
        assert self._publisher.poll(10_000), "nobody subscribed"
        self._publisher.recv()

    def publish(self, *records: StreamRecord) -> None:
        for record in records:
            self.publish_bytes(_TOPICS.get(type(record), Topic.EVENT), encode(record))

    def publish_bytes(self, topic: Topic, body: bytes) -> None:
        """Send what need not be a record."""
        self._positions[topic] += 1
        position = self._positions[topic].to_bytes(8, "big")
        self._publisher.send_multipart([topic.encode(), position, body])

    def lose(self, topic: Topic, num_records: int) -> None:
        """Count records as published without sending them."""
        self._positions[topic] += num_records

    def _serve(self) -> None:
        while not self._is_closing.is_set():
            if self._router.poll(20):
                identity, body = self._router.recv_multipart()
                self._router.send_multipart([identity, encode(self._answer(body))])

    def _answer(self, body: bytes) -> ControlReply:
        op: ControlOp = decode(body, ControlOp)
        self.asked.append(op)
        answer = self.answers.get(type(op))
        if answer is None:
            return ControlReply(id=op.id, error=ControlFault(code=ErrorCode.UNKNOWN_OP, message="unknown op"))
        try:
            return ControlReply(id=op.id, ok=answer(op))
        except ControlRefused as error:
            fault = ControlFault(code=ErrorCode(error.code), message=str(error), hint=error.hint)
            return ControlReply(id=op.id, error=fault)
