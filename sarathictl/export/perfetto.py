"""A recording as a trace for ui.perfetto.dev."""

from typing import IO

from sarathictl.export.told import Names, told
from sarathid.tape.tape import Tape
from sarathid.trace.trace_writer import TraceWriter


def write_perfetto(tape: Tape, file: IO[bytes], names: Names) -> None:
    """Write iterations, stages, counters and requests, with an arrow from each victim of a stall to its culprit."""
    writer = TraceWriter(file, tape.start_s, tape.header.wall_offset_s)
    for record in told(tape, names):
        writer.add(record)
    writer.close()
