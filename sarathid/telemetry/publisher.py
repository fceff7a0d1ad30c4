"""Sends every record to whoever listens on `stats.sock`, and waits for nobody."""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable

import zmq

from sarathid.clock import Clock
from sarathid.protocol.codec import encode
from sarathid.protocol.stats import (
    Heartbeat,
    IterationScheduled,
    IterationStats,
    LifeCycle,
    Overload,
    RequestArrival,
    RequestStats,
    SettingsChanged,
    StallEvent,
    StreamRecord,
    Topic,
)
from sarathid.telemetry.connection_limit import limit_connections

HEARTBEAT_S = 1.0
QUEUED_FRAMES = 1000

_TOPICS: dict[type[StreamRecord], Topic] = {
    IterationScheduled: Topic.SCHEDULED,
    IterationStats: Topic.ITERATION,
    RequestArrival: Topic.REQUEST,
    RequestStats: Topic.REQUEST,
    StallEvent: Topic.EVENT,
    Overload: Topic.EVENT,
    SettingsChanged: Topic.EVENT,
    LifeCycle: Topic.EVENT,
    Heartbeat: Topic.HEARTBEAT,
}


class StatsPublisher:
    """A PUB socket whose frames are topic, sequence number (8 bytes, big-endian, from 1, per topic) and record.

    A subscriber that does not read loses records once `QUEUED_FRAMES` wait for it; it sees the gap in
    the sequence numbers, and `num_dropped` counts the records that somebody lost. The others get all.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        listener: socket.socket,
        clock: Clock,
        *,
        user_ids: Iterable[int],
        group_ids: Iterable[int] = (),
    ) -> None:
        """Publish on a listening Unix socket, which the publisher takes over, to these users and members of groups."""
        self._context = context
        self._listener = listener
        listener.setblocking(False)  # for a moment two sockets accept on it (see `admit`): one must not wait there
        self._socket = self._open(user_ids, group_ids)
        self._clock = clock
        self._positions: Counter[Topic] = Counter()
        self._last_published_s = clock.now_s()
        self.num_dropped = 0

    @property
    def positions(self) -> dict[str, int]:
        """The last sequence number of each topic, 0 where nothing was published."""
        return {topic: self._positions[topic] for topic in Topic}

    def publish(self, record: StreamRecord) -> None:
        """Send a record to every subscriber that has room for it."""
        topic = _TOPICS[type(record)]
        self._positions[topic] += 1
        self._last_published_s = self._clock.now_s()
        self._send([topic.encode(), self._positions[topic].to_bytes(8, "big"), encode(record)])

    def admit(self, user_ids: Iterable[int], group_ids: Iterable[int]) -> None:
        """Publish to these from now on: every subscriber has to connect again, and some may not.

        Raises `OSError` or `zmq.ZMQError` where there is no descriptor for that, and publishes on as before.
        """
        opened = self._open(user_ids, group_ids)
        self._socket.close()
        self._socket = opened

    async def beat(self, state: Callable[[], str]) -> None:
        """Publish a heartbeat with `state()` after each second without a record, until cancelled."""
        while True:
            quiet_s = self._clock.now_s() - self._last_published_s
            if quiet_s >= HEARTBEAT_S:
                self.publish(Heartbeat(time_s=self._clock.now_s(), state=state()))
                quiet_s = 0.0
            await asyncio.sleep(HEARTBEAT_S - quiet_s)

    def close(self) -> None:
        """Stop; what is queued is dropped."""
        self._socket.close()
        self._listener.close()

    def _open(self, user_ids: Iterable[int], group_ids: Iterable[int]) -> "zmq.Socket[bytes]":
        opened = self._context.socket(zmq.PUB)
        opened.set_hwm(QUEUED_FRAMES)
        opened.linger = 0
        opened.setsockopt(zmq.XPUB_NODROP, 1)
        for user_id in user_ids:
            opened.setsockopt(zmq.IPC_FILTER_UID, user_id)
        for group_id in group_ids:
            opened.setsockopt(zmq.IPC_FILTER_GID, group_id)
        opened.setsockopt(zmq.USE_FD, os.dup(self._listener.fileno()))  # which it closes with itself
        limit_connections(opened, self._listener.getsockname())
        opened.bind(f"ipc://{self._listener.getsockname()}")
        return opened

    def _send(self, frames: list[bytes]) -> None:
        """Send to all, or, where one has no room, to the rest.

        With XPUB_NODROP ZeroMQ says that a subscriber is full instead of skipping it in silence; that is
        the only way to learn of a loss.
        """
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            self.num_dropped += 1
            self._socket.setsockopt(zmq.XPUB_NODROP, 0)
            self._socket.send_multipart(frames, zmq.NOBLOCK)
            self._socket.setsockopt(zmq.XPUB_NODROP, 1)
