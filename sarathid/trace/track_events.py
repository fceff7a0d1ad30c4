"""A file of Perfetto's track events: lanes with slices, counters, and arrows between slices.

Its form is the protobuf `Trace` of perfetto.dev, which Perfetto's importer is made for: lanes have names, an order and
parents, counters have units, and an arrow needs no more than an id at both of its ends. Whoever writes it keeps nothing
but the newest moment of each lane, and the moments of different lanes may come in any order.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import IO, TypeAlias

from sarathid.trace.protobuf import double, fixed64, message, text, varint

Facts: TypeAlias = Mapping[str, int | float | str | None]
"""The details of a slice by name; what is None is left out."""

_BOOTTIME, _REALTIME = 6, 1  # clocks by their numbers; the first is the one that all times are of
_SEQUENCE = 1
_IS_FIRST, _GOES_ON = 1, 2
_NS_PER_S = 1e9


class _Packet(IntEnum):
    CLOCKS = 6
    TIME = 8
    SEQUENCE = 10
    EVENT = 11
    INTERNED = 12
    FLAGS = 13
    TRACK = 60


class _Event(IntEnum):
    BEGIN = 1
    END = 2
    INSTANT = 3
    COUNTER = 4


class Order(IntEnum):
    """How the lanes below one are sorted."""

    CHRONOLOGICAL = 2
    EXPLICIT = 3


class TrackEventFile:
    """Lanes are known by numbers that it gives out; times are monotonic seconds."""

    def __init__(self, file: IO[bytes], start_s: float = 0.0, wall_offset_s: float | None = None) -> None:
        """Begin a trace; `wall_offset_s` is what its times lack to the epoch, where they mean anything there."""
        self._file = file
        self._num_tracks = 0
        self._newest_ns: dict[int, int] = {}
        self._counted: dict[int, float] = {}
        self._names: dict[str, int] = {}
        self._flags = _IS_FIRST
        self._write()
        if wall_offset_s is not None:
            self._write(_clocks(_ns(start_s), _ns(start_s + wall_offset_s)))

    def add_group(self, name: str, order: Order) -> int:
        """Return a lane that holds others."""
        return self._add(text(2, name), varint(11, order))

    def add_lane(self, name: str, parent: int, rank: int = 0) -> int:
        """Return a lane for slices; `rank` sorts it where its parent's lanes have an explicit order."""
        return self._add(text(2, name), varint(5, parent), varint(12, rank))

    def add_counter(self, name: str, unit: str, parent: int, rank: int = 0) -> int:
        """Return a lane for the values of a counter."""
        return self._add(text(2, name), varint(5, parent), varint(12, rank), message(8, text(6, unit)))

    def newest_s(self, lane: int) -> float:
        """Return the newest moment of a lane, 0 before the first."""
        return self._newest_ns.get(lane, 0) / _NS_PER_S

    def begin(
        self, lane: int, time_s: float, name: str, facts: Facts | None = None, arrows: Sequence[int] = ()
    ) -> None:
        """Begin a slice within the one that is open; never before what the lane has already."""
        self._write_event(_Event.BEGIN, lane, self._moved_on(lane, time_s), name, facts, arrows)

    def end(self, lane: int, time_s: float) -> None:
        """End the slice that began last."""
        self._write_event(_Event.END, lane, self._moved_on(lane, time_s))

    def add_slice(
        self, lane: int, start_s: float, end_s: float, name: str, facts: Facts | None = None, arrows: Sequence[int] = ()
    ) -> None:
        """Add a slice that holds none."""
        self.begin(lane, start_s, name, facts, arrows)
        self.end(lane, end_s)

    def mark(self, lane: int, time_s: float, name: str, facts: Facts | None = None, arrows: Sequence[int] = ()) -> None:
        """Add a moment."""
        self._write_event(_Event.INSTANT, lane, _ns(time_s), name, facts, arrows)

    def count(self, counter: int, time_s: float, value: float) -> None:
        """Say what a counter has from now on; nothing is written where that is what it had."""
        if self._counted.get(counter) != value:
            self._counted[counter] = value
            event = varint(9, _Event.COUNTER) + varint(11, counter) + double(44, value)
            self._write(varint(_Packet.TIME, _ns(time_s)), message(_Packet.EVENT, event))

    def _add(self, *fields: bytes) -> int:
        self._num_tracks += 1
        self._write(message(_Packet.TRACK, varint(1, self._num_tracks) + b"".join(fields)))
        return self._num_tracks

    def _moved_on(self, lane: int, time_s: float) -> int:
        """Return a moment in nanoseconds, not before the lane's newest: recorded times are rounded each on its own."""
        self._newest_ns[lane] = max(self._newest_ns.get(lane, 0), _ns(time_s))
        return self._newest_ns[lane]

    def _write_event(
        self,
        kind: _Event,
        lane: int,
        time_ns: int,
        name: str | None = None,
        facts: Facts | None = None,
        arrows: Sequence[int] = (),
    ) -> None:
        fields = [varint(9, kind), varint(11, lane)]
        if name is not None:
            fields.append(text(23, name))
        fields += [fixed64(47, arrow) for arrow in arrows]
        told = {key: value for key, value in (facts or {}).items() if value is not None}
        new_names = b"".join([self._intern(key) for key in told if key not in self._names])
        fields += [_annotation(self._names[key], value) for key, value in told.items()]
        interned = (message(_Packet.INTERNED, new_names),) if new_names else ()
        self._write(varint(_Packet.TIME, time_ns), *interned, message(_Packet.EVENT, b"".join(fields)))

    def _intern(self, name: str) -> bytes:
        self._names[name] = len(self._names) + 1
        return message(3, varint(1, self._names[name]) + text(2, name))

    def _write(self, *fields: bytes) -> None:
        head = varint(_Packet.SEQUENCE, _SEQUENCE) + varint(_Packet.FLAGS, self._flags)
        self._file.write(message(1, head + b"".join(fields)))
        self._flags = _GOES_ON


def _annotation(name: int, value: int | float | str) -> bytes:
    if isinstance(value, str):
        told = text(6, value)
    else:
        told = varint(4, value) if isinstance(value, int) else double(5, value)
    return message(4, varint(1, name) + told)


def _clocks(boot_ns: int, real_ns: int) -> bytes:
    moments = ((_BOOTTIME, boot_ns), (_REALTIME, real_ns))
    return message(_Packet.CLOCKS, b"".join(message(1, varint(1, clock) + varint(2, ns)) for clock, ns in moments))


def _ns(time_s: float) -> int:
    return round(time_s * _NS_PER_S)
