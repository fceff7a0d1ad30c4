import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from sarathid.clock import MonotonicClock
from sarathid.protocol.codec import decode
from sarathid.protocol.stats import Heartbeat, LifeCycle, Overload, StreamRecord, Topic
from sarathid.telemetry.publisher import QUEUED_FRAMES, StatsPublisher
from tests.factories import make_iteration

TIMEOUT_MS = 20_000
HEARTBEAT = Heartbeat(time_s=0.0, state="ready")


class Stream:
    """A publisher at a socket of its own, and subscribers to it."""

    def __init__(self, path: Path, context: "zmq.Context[zmq.Socket[bytes]]", user_id: int) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.fspath(path))
        listener.listen()
        self.publisher = StatsPublisher(context, listener, MonotonicClock(), user_ids=[user_id])
        self._path = path
        self._context = context

    @contextmanager
    def subscribed(self) -> Iterator["zmq.Socket[bytes]"]:
        """Give a subscriber that has got its first heartbeat, so that its subscription stands."""
        with self._context.socket(zmq.SUB) as subscriber:
            subscriber.linger = 0
            subscriber.set_hwm(1)
            subscriber.subscribe(b"")
            subscriber.connect(f"ipc://{self._path}")
            while not subscriber.poll(1):
                self.publisher.publish(HEARTBEAT)
            yield subscriber


@contextmanager
def stream_at(path: Path, user_id: int | None = None) -> Iterator[Stream]:
    with zmq.Context() as context:
        stream = Stream(path, context, os.getuid() if user_id is None else user_id)
        try:
            yield stream
        finally:
            stream.publisher.close()


def receive(subscriber: "zmq.Socket[bytes]", topic: Topic) -> tuple[int, StreamRecord]:
    """Return the next position and record of a topic."""
    while subscriber.poll(TIMEOUT_MS):
        name, position, body = subscriber.recv_multipart()
        if name.decode() == topic:
            record: StreamRecord = decode(body, StreamRecord)
            return int.from_bytes(position, "big"), record
    raise AssertionError(f"no record of {topic}")


def wait_for_end(subscriber: "zmq.Socket[bytes]", monitor: "zmq.Socket[bytes]") -> None:
    """Wait for the end of a connection, and read all the while: a full subscriber does not look whether it ended."""
    poller = zmq.Poller()
    poller.register(subscriber, zmq.POLLIN)
    poller.register(monitor, zmq.POLLIN)
    while monitor not in (ready := dict(poller.poll(TIMEOUT_MS))):
        assert ready, "no end in time"
        subscriber.recv_multipart()
    monitor.recv_multipart()


def test_each_topic_counts_its_records_from_one(tmp_path: Path) -> None:
    event = LifeCycle(time_s=1.0, state="ready", message="ready")
    with stream_at(tmp_path / "s") as stream, stream.subscribed() as subscriber:
        for record in (make_iteration(41), event, make_iteration(42)):
            stream.publisher.publish(record)

        assert receive(subscriber, Topic.ITERATION) == (1, make_iteration(41))
        assert receive(subscriber, Topic.EVENT) == (1, event)
        assert receive(subscriber, Topic.ITERATION) == (2, make_iteration(42))
        assert stream.publisher.positions[Topic.ITERATION] == 2


def test_an_overload_is_an_event(tmp_path: Path) -> None:
    overload = Overload(
        time_s=1.0, iteration=7, is_overloaded=True, num_decodes=90, most_decodes=60, decode_s=0.15, planned_s=0.1
    )
    with stream_at(tmp_path / "s") as stream, stream.subscribed() as subscriber:
        stream.publisher.publish(overload)

        assert receive(subscriber, Topic.EVENT) == (1, overload)


def test_a_stuck_subscriber_loses_records_and_the_others_none(tmp_path: Path) -> None:
    num_records = 5 * QUEUED_FRAMES
    with stream_at(tmp_path / "s") as stream, stream.subscribed(), stream.subscribed() as reader:
        for number in range(1, num_records + 1):
            stream.publisher.publish(make_iteration(number))
            assert receive(reader, Topic.ITERATION)[0] == number

        assert 0 < stream.publisher.num_dropped < num_records


def test_silence_is_filled_with_heartbeats(tmp_path: Path) -> None:
    async def first_beat(stream: Stream) -> None:
        position = stream.publisher.positions[Topic.HEARTBEAT]
        beating = asyncio.create_task(stream.publisher.beat(lambda: "ready"))
        while stream.publisher.positions[Topic.HEARTBEAT] == position:
            await asyncio.sleep(0)
        beating.cancel()

    with stream_at(tmp_path / "s") as stream:
        asyncio.run(asyncio.wait_for(first_beat(stream), TIMEOUT_MS / 1000))


def test_a_user_who_has_no_role_hears_nothing(tmp_path: Path) -> None:
    with stream_at(tmp_path / "stats.sock", user_id=os.getuid() + 1) as stream, zmq.Context() as context:
        subscriber = context.socket(zmq.SUB)
        subscriber.subscribe(b"")
        with subscriber.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor:
            subscriber.connect(f"ipc://{tmp_path}/stats.sock")
            assert monitor.poll(TIMEOUT_MS), "hung up on"
            stream.publisher.publish(HEARTBEAT)
            assert not subscriber.poll(0)
            subscriber.disable_monitor()
        subscriber.close(linger=0)


def test_who_was_admitted_hears_on_where_there_is_no_descriptor_to_admit_others(tmp_path: Path) -> None:
    with stream_at(tmp_path / "stats.sock") as stream, stream.subscribed() as subscriber:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises((OSError, zmq.ZMQError), match="Too many open files"):
                stream.publisher.admit([os.getuid() + 1], [])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        stream.publisher.publish(make_iteration(7))
        _, record = receive(subscriber, Topic.ITERATION)
        assert record == make_iteration(7)


def test_who_is_no_longer_admitted_hears_nothing_more_and_who_is_again_does(tmp_path: Path) -> None:
    with stream_at(tmp_path / "stats.sock") as stream, stream.subscribed() as subscriber:
        with subscriber.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor:
            stream.publisher.admit([os.getuid() + 1], [])
            for _ in range(2):  # the end of the connection that stood, and of one that was refused
                wait_for_end(subscriber, monitor)
            subscriber.disable_monitor()
        stream.publisher.publish(LifeCycle(time_s=0.0, state="ready", message="unheard"))
        stream.publisher.admit([os.getuid()], [])
        heard: list[str] = []
        while Topic.ITERATION not in heard:
            stream.publisher.publish(make_iteration())
            while subscriber.poll(1):
                heard.append(subscriber.recv_multipart()[0].decode())
        assert Topic.EVENT not in heard
