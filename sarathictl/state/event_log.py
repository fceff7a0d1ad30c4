"""What happened in the last hour beside plain iterations: kept packed, found by when it was."""

from bisect import bisect_left, bisect_right, insort

import msgspec

from sarathictl.state.happenings import happening_of
from sarathid.protocol.stats import IterationStats, SettingsChanged, StallEvent, StreamRecord
from sarathid.tape.packing import Unpacker
from sarathid.tape.segment import COLUMNS, pack_record, unpack_record

MAX_LISTED = 1024


class EventLog:
    """Records in their order, each by the start of its segment; and the moments of stalls and changes."""

    def __init__(self) -> None:
        self._packed: list[bytes] = []
        self._segments_s: list[float] = []
        self._stalls_s: list[float] = []
        self._changes_s: list[float] = []
        self._unpacker = Unpacker(COLUMNS)

    @property
    def stalls_s(self) -> tuple[float, ...]:
        """When each stall ended, in order."""
        return tuple(self._stalls_s)

    def append(self, record: StreamRecord, segment_s: float) -> None:
        """Keep a record of the segment that began at `segment_s`, if it tells of something."""
        event = _told_by(record)
        if event is None:
            return
        self._packed.append(pack_record(event))
        self._segments_s.append(segment_s)
        if isinstance(event, StallEvent):
            insort(self._stalls_s, event.time_s)
        elif isinstance(event, SettingsChanged):
            insort(self._changes_s, event.time_s)

    def before(self, segment_s: float) -> list[StreamRecord]:
        """Return the newest `MAX_LISTED` records of the segments before one, oldest first."""
        end = bisect_left(self._segments_s, segment_s)
        return [unpack_record(packed, self._unpacker) for packed in self._packed[max(0, end - MAX_LISTED) : end]]

    def next_stall_s(self, time_s: float, step: int) -> float | None:
        """Return when the next stall ended, or the one before for a negative step; None where there is none."""
        return next_moment(self._stalls_s, time_s, step)

    def next_change_s(self, time_s: float, step: int) -> float | None:
        """Return when the settings changed next, or before for a negative step; None where they did not."""
        return next_moment(self._changes_s, time_s, step)

    def forget_before(self, segment_s: float) -> None:
        """Drop what belongs to segments before one."""
        num_old = bisect_left(self._segments_s, segment_s)
        del self._packed[:num_old], self._segments_s[:num_old]
        del self._stalls_s[: bisect_left(self._stalls_s, segment_s)]
        del self._changes_s[: bisect_left(self._changes_s, segment_s)]


def next_moment(moments_s: list[float], time_s: float, step: int) -> float | None:
    """Return the next of sorted moments after `time_s`, or the last before it for a negative step."""
    index = bisect_right(moments_s, time_s) if step > 0 else bisect_left(moments_s, time_s) - 1
    return moments_s[index] if 0 <= index < len(moments_s) else None


def _told_by(record: StreamRecord) -> StreamRecord | None:
    """Return what of a record is kept here; of an iteration, all but its gaps."""
    if happening_of(record) is None:
        return None
    return msgspec.structs.replace(record, gaps=()) if isinstance(record, IterationStats) else record
