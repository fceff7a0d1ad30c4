"""What is told of an iteration of 64 decodes: recorded, encoded, published and, by who listens, decoded."""

import os
import tempfile
from functools import partial
from pathlib import Path

import zmq

from sarathid.protocol.codec import decode, encode
from sarathid.protocol.stats import StreamRecord, Topic
from sarathid.telemetry.publisher import StatsPublisher
from tests.bench.decoding_run import DecodingRun
from tests.bench.hot_paths.hot_path import HotPath, Operations
from tests.telemetry.test_publisher import TIMEOUT_MS, Stream

NUM_DECODES = 64
NUM_ITERATIONS = 8


def record() -> Operations:
    run = DecodingRun(NUM_DECODES)
    while True:
        yield partial(run.record, run.compute())


def encode_records() -> Operations:
    records = DecodingRun(NUM_DECODES).records(NUM_ITERATIONS)
    while True:
        yield lambda: [encode(told) for told in records]


def decode_records() -> Operations:
    bodies = [encode(told) for told in DecodingRun(NUM_DECODES).records(NUM_ITERATIONS)]
    while True:
        yield lambda: [decode(body, StreamRecord) for body in bodies]


def publish() -> Operations:
    """Publish to one subscriber, who reads them all before more come."""
    records = DecodingRun(NUM_DECODES).records(NUM_ITERATIONS)
    with tempfile.TemporaryDirectory() as name, zmq.Context() as context:
        stream = Stream(Path(name) / "stats.sock", context, os.getuid())
        try:
            with stream.subscribed() as subscriber:
                while True:
                    yield partial(_publish_all, stream.publisher, records)
                    _read(subscriber, len(records))
        finally:
            stream.publisher.close()


def _publish_all(publisher: StatsPublisher, records: list[StreamRecord]) -> None:
    for told in records:
        publisher.publish(told)


def _read(subscriber: "zmq.Socket[bytes]", num_records: int) -> None:
    """Read that many records that are no heartbeats."""
    while num_records:
        assert subscriber.poll(TIMEOUT_MS), f"{num_records} records did not arrive"
        num_records -= subscriber.recv_multipart()[0] != Topic.HEARTBEAT.encode()


TELLING = (
    HotPath("record an iteration, 64 decodes", record),
    HotPath("encode 8 iterations, 64 decodes", encode_records),
    HotPath("decode 8 iterations, 64 decodes", decode_records),
    HotPath("publish 8 iterations, 64 decodes", publish),
)
