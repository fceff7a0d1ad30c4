"""Reads a trace by Perfetto's own message types, and holds it to what Perfetto's importer asks of one."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2

_CLEARED, _NEEDED = 1, 2
_BEGIN, _END, _INSTANT, _COUNTER = 1, 2, 3, 4
_BOOTTIME, _REALTIME = 6, 1


@dataclass
class Slice:
    """A slice, or a moment, which ends when it begins; `path` names the lane and those above it."""

    path: tuple[str, ...]
    name: str
    start_ns: int
    end_ns: int
    depth: int
    facts: dict[str, Any]
    arrows: tuple[int, ...]

    @property
    def lane(self) -> str:
        return self.path[-1]


@dataclass
class PerfettoTrace:
    """What a trace shows: slices in order of their beginning, and the values of counters in order of time."""

    slices: list[Slice] = field(default_factory=list)
    counters: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    wall_offset_ns: int | None = None

    def named(self, name: str) -> list[Slice]:
        return [found for found in self.slices if found.name == name]

    def on(self, lane: str) -> list[Slice]:
        return [found for found in self.slices if found.lane == lane]

    @property
    def arrows(self) -> list[tuple[Slice, Slice]]:
        """The slices that each arrow leads from and to."""
        ends: dict[int, list[Slice]] = defaultdict(list)
        for found in self.slices:
            for arrow in found.arrows:
                ends[arrow].append(found)
        return [(found[0], found[1]) for found in ends.values() if len(found) == 2]


def read_trace(data: bytes) -> PerfettoTrace:
    """Return what a trace shows; fails for a field or an order that Perfetto would not take."""
    trace = perfetto_trace_pb2.Trace()
    trace.ParseFromString(data)
    _check_known(trace)
    assert trace.packet[0].sequence_flags == _CLEARED
    assert all(packet.sequence_flags & _NEEDED for packet in trace.packet[1:])
    assert len({packet.trusted_packet_sequence_id for packet in trace.packet}) == 1
    found = PerfettoTrace()
    lanes: dict[int, Any] = {}
    names: dict[int, str] = {}
    events: dict[int, list[tuple[Any, dict[str, Any], int]]] = defaultdict(list)
    for packet in trace.packet:
        if packet.HasField("clock_snapshot"):
            clocks = {clock.clock_id: clock.timestamp for clock in packet.clock_snapshot.clocks}
            found.wall_offset_ns = clocks[_REALTIME] - clocks[_BOOTTIME]
        names |= {interned.iid: interned.name for interned in packet.interned_data.debug_annotation_names}
        if packet.HasField("track_descriptor"):
            assert packet.track_descriptor.uuid not in lanes
            lanes[packet.track_descriptor.uuid] = packet.track_descriptor
        elif packet.HasField("track_event"):
            event = packet.track_event
            assert event.track_uuid in lanes, "a lane is told of before its first event"
            events[event.track_uuid].append((event, _facts(event, names), packet.timestamp))
    for lane, told in events.items():
        path = tuple(_path(lanes, lane))
        if lanes[lane].HasField("counter"):
            found.units[path[-1]] = lanes[lane].counter.unit_name
            found.counters[path[-1]] = [(time_ns, event.double_counter_value) for event, _, time_ns in told]
        else:
            found.slices += _slices(path, told)
    found.slices.sort(key=lambda slice_: slice_.start_ns)
    return found


def _slices(path: tuple[str, ...], told: list[tuple[Any, dict[str, Any], int]]) -> Iterator[Slice]:
    """Yield the slices of a lane, as Perfetto pairs them: in order of time, of equal ones as they are in the file."""
    spans = [time_ns for event, _, time_ns in told if event.type in (_BEGIN, _END)]
    assert spans == sorted(spans), f"slices of {path} go back in time"
    open_: list[Slice] = []
    for event, facts, time_ns in sorted(told, key=lambda item: item[2]):
        if event.type == _END:
            assert open_, f"a slice of {path} ends that never began"
            open_[-1].end_ns = time_ns
            yield open_.pop()
            continue
        assert event.type in (_BEGIN, _INSTANT)
        new = Slice(path, event.name, time_ns, time_ns, len(open_), facts, tuple(event.flow_ids))
        if event.type == _BEGIN:
            open_.append(new)
        else:
            yield new
    assert not open_, f"slices of {path} never end: {[slice_.name for slice_ in open_]}"


def _facts(event: Any, names: dict[int, str]) -> dict[str, Any]:
    return {
        names[annotation.name_iid]: getattr(annotation, annotation.WhichOneof("value"))
        for annotation in event.debug_annotations
    }


def _path(lanes: dict[int, Any], lane: int) -> list[str]:
    parent = lanes[lane].parent_uuid
    assert not parent or parent in lanes
    return [*(_path(lanes, parent) if parent else []), lanes[lane].name]


def _check_known(message: Any) -> None:
    """Fail for a field of a number that Perfetto has not."""
    assert not len(UnknownFieldSet(message)), message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for inner in value if hasattr(value, "append") or hasattr(value, "add") else (value,):
                _check_known(inner)
