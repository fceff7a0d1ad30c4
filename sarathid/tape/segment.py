"""A second or so of records behind the key frame that they follow: what a recording is made of."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
import msgspec

from sarathid.errors import CodecError
from sarathid.protocol.stats import (
    IterationScheduled,
    IterationStats,
    LifeCycle,
    Overload,
    RequestArrival,
    RequestStats,
    SettingsChanged,
    StallEvent,
    StreamRecord,
)
from sarathid.tape.frames import MAX_BODY_BYTES, Frame, FrameKind
from sarathid.tape.key_frame import KeyFrame
from sarathid.tape.packing import Unpacker, columns_of, packed, packed_fields
from sarathid.tape.token_clock import Gaps, TokenClock

# What a recording holds; of heartbeats only the state would be news, and a change of that has a record of its own.
_KINDS: dict[str, type[StreamRecord]] = {
    kind.__name__: kind
    for kind in (
        IterationStats,
        IterationScheduled,
        RequestArrival,
        RequestStats,
        StallEvent,
        Overload,
        SettingsChanged,
        LifeCycle,
    )
}
COLUMNS = columns_of(KeyFrame, *_KINDS.values())
_GAPS = COLUMNS["IterationStats"].index("gaps")
_TOKEN_TIMES = ("start_s", "schedule_s", "execute_s")  # tokens came when so much had passed
_UNTIL_TOKENS = tuple(COLUMNS["IterationStats"].index(name) for name in _TOKEN_TIMES)


@dataclass(frozen=True, slots=True)
class Segment:
    """Records in their order, and what stood when they began."""

    key: KeyFrame
    records: tuple[StreamRecord, ...]

    @classmethod
    def of(cls, frame: Frame, unpacker: Unpacker) -> "Segment":
        """Return what a frame holds; raises `CodecError` when that is no segment."""
        fields = unpacked_body(frame)
        try:
            key = unpacker.unpack(KeyFrame, fields["key"])
            records = tuple(_unpacked_records(fields["records"], clock_at(key), unpacker))
        except (KeyError, TypeError, ValueError) as error:
            raise CodecError(f"a frame is no segment: {error!r}") from error
        return cls(key, records)


class OpenSegment:
    """A segment that records are still added to."""

    def __init__(self, key: KeyFrame) -> None:
        self._clock = clock_at(key)
        self._key = key
        self._rows: list[tuple[str, list[Any]]] = []

    @property
    def start_s(self) -> float:
        """When it begins, in monotonic seconds."""
        return self._key.time_s

    @property
    def key(self) -> KeyFrame:
        """What stood when it began."""
        return self._key

    def __len__(self) -> int:
        return len(self._rows)

    def followed_by(self, key: KeyFrame) -> "OpenSegment":
        """Return the next segment, whose requests got their newest tokens when this one says."""
        newest_s = self._clock.newest_s
        for row in key.requests:
            row.last_token_s = newest_s.get(row.request_id, row.last_token_s)
        return OpenSegment(key)

    def add(self, record: StreamRecord) -> None:
        """Add a record; what runs next is told by the iteration that it became."""
        name = type(record).__name__
        if name not in _KINDS or isinstance(record, IterationScheduled):
            return
        if isinstance(record, IterationStats):
            self._rows.append((name, self._packed_iteration(record)))
            return
        if isinstance(record, RequestStats):
            self._clock.forget(record.request_id)
        self._rows.append((name, packed(record)))

    def seal(self) -> Frame:
        """Return it as a frame; nothing may be added any more."""
        body = msgpack.packb({"key": packed(self._key), "records": self._rows}, use_single_float=True)
        return Frame.of(FrameKind.SEGMENT, self._key.time_s, body)

    def _packed_iteration(self, stats: IterationStats) -> list[Any]:
        fields = list(msgspec.structs.astuple(stats))
        fields[_GAPS] = ()
        values = packed_fields(IterationStats, fields)
        tokens_us = sum([values[index] for index in _UNTIL_TOKENS])
        gaps = self._clock.describe(stats, tokens_us)
        values[_GAPS] = [gaps.without, gaps.only, gaps.odd]
        return values


def clock_at(key: KeyFrame) -> TokenClock:
    """Return the clock that a segment begins with."""
    return TokenClock(
        {row.request_id: round(row.last_token_s * 1e6) for row in key.requests if row.last_token_s is not None}
    )


def pack_record(record: StreamRecord) -> bytes:
    """Return one record by itself, for this process alone to read."""
    body: bytes = msgpack.packb([type(record).__name__, packed(record)], use_single_float=True)
    return body


def unpack_record(body: bytes, unpacker: Unpacker) -> StreamRecord:
    """Return what `pack_record` packed."""
    name, values = msgpack.unpackb(body, strict_map_key=False)
    return unpacker.unpack(_KINDS[name], values)


def unpacked_body(frame: Frame) -> Mapping[str, Any]:
    """Return the map that a frame's body is; raises `CodecError` when it is none."""
    try:
        fields = msgpack.unpackb(
            frame.body,
            strict_map_key=False,
            use_list=True,
            max_str_len=MAX_BODY_BYTES,
            max_array_len=MAX_BODY_BYTES,
            max_map_len=MAX_BODY_BYTES,
            max_bin_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise CodecError(f"a frame holds no MessagePack value: {error}") from error
    if not isinstance(fields, dict):
        raise CodecError("a frame holds no map")
    return fields


def _unpacked_records(rows: Iterable[Any], clock: TokenClock, unpacker: Unpacker) -> Iterator[StreamRecord]:
    """Yield the records of a segment, passing over kinds that a later version may have."""
    for name, values in rows:
        kind = _KINDS.get(name)
        if kind is IterationStats:
            yield _unpacked_iteration(values, clock, unpacker)
        elif kind is not None:
            record = unpacker.unpack(kind, values)
            if isinstance(record, RequestStats):
                clock.forget(record.request_id)
            yield record


def _unpacked_iteration(values: list[Any], clock: TokenClock, unpacker: Unpacker) -> IterationStats:
    columns = unpacker.columns["IterationStats"]
    tokens_us = sum([values[columns.index(name)] for name in _TOKEN_TIMES])
    at_gaps = columns.index("gaps")
    without, only, odd = values[at_gaps]
    values[at_gaps] = ()
    stats = unpacker.unpack(IterationStats, values)
    gaps = Gaps(without, only, [(request_id, gap_us) for request_id, gap_us in odd])
    return msgspec.structs.replace(stats, gaps=clock.tell(gaps, stats, tokens_us))
