"""A recording as JSON, an object a line."""

from typing import IO

import msgspec

from sarathictl.export.told import Names, records_of
from sarathictl.output import SCHEMA_VERSION
from sarathictl.state.engine_state import time_of
from sarathid.protocol.stats import StreamRecord
from sarathid.tape.tape import Tape


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One record, whose own times are monotonic; it was over at `at_s`, in seconds since the epoch."""

    schema_version: int = SCHEMA_VERSION
    at_s: float
    record: StreamRecord


def write_jsonl(tape: Tape, file: IO[bytes], names: Names) -> None:
    """Write every record whole."""
    encoder = msgspec.json.Encoder()
    for record in records_of(tape, names):
        line = Line(at_s=time_of(record) + tape.header.wall_offset_s, record=record)
        file.write(encoder.encode(line) + b"\n")
