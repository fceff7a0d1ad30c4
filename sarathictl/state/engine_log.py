"""The last hour of records, so that any moment of it can be seen again, whether they came live or from a file."""

import math
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TypeAlias

from sarathictl.state.engine_state import MAX_RECENT, MAX_SAMPLES, EngineState, time_of
from sarathictl.state.event_log import EventLog, next_moment
from sarathictl.state.window import IterationSample, sample_of
from sarathid.errors import CodecError
from sarathid.protocol.control import RequestList, Snapshot, Status
from sarathid.protocol.stats import IterationScheduled, IterationStats, SettingsChanged, StreamRecord
from sarathid.tape.frames import Frame
from sarathid.tape.key_frame import KeyFrame
from sarathid.tape.packing import Columns, Unpacker
from sarathid.tape.segment import COLUMNS, OpenSegment, Segment

SEGMENT_S = 10.0
MAX_LOG_S = 3600.0
NUM_OPENED = 3  # segments that are kept as records
NUM_SAMPLED = 24  # and as samples, which take a twentieth of the room

StreamItem: TypeAlias = Snapshot | RequestList | Status | StreamRecord


class EngineLog:
    """The state that all records led to, and the records, compressed in segments that each begin with a key frame.

    The state of an earlier moment is folded from the key frame before it; so it is the same whatever was looked at
    before it. What comes is packed when somebody has the time, or looks back.
    """

    def __init__(self, columns: Columns = COLUMNS) -> None:
        self.state = EngineState()
        self._unpacker = Unpacker(columns)
        self._frames: list[Frame] = []
        self._starts_s: list[float] = []
        self._began_s: float | None = None
        self._pending: list[KeyFrame | StreamRecord] = []
        self._growing: OpenSegment | None = None
        self._events = EventLog()
        self._newest_s = 0.0
        self._listed: tuple[float, list[StreamRecord]] | None = None
        self._opened: OrderedDict[float, Segment] = OrderedDict()
        self._sampled: OrderedDict[float, tuple[IterationSample, ...]] = OrderedDict()

    @property
    def start_s(self) -> float | None:
        """The earliest moment that can be seen, None before the first record."""
        return self._starts_s[0] if self._starts_s else None

    @property
    def end_s(self) -> float:
        """When the newest record was over."""
        return self._newest_s

    @property
    def frames(self) -> list[Frame]:
        """What was recorded until `seal` was last called, oldest first."""
        return self._frames

    def take(self, item: StreamItem, time_s: float) -> None:
        """Take in what a daemon said, read at `time_s`."""
        match item:
            case Snapshot():
                for record in self.state.news_in(item):
                    self._append(record)
                self.state.settle(item, time_s)
                self._begin_segment(max(time_s, self._newest_s))
            case RequestList():
                self.state.replace_requests(item.requests, time_s)
                self._begin_segment(max(time_s, self._newest_s))
            case Status():
                self.state.see_gpus(item)
            case _:
                self._append(item)

    def open(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Take over the segments of a recording, oldest first, and return those that can be seen: of its last hour.

        Any moment can be seen at once. What happened elsewhere, and what the spans before it amounted to, is known of
        what was `survey`ed.
        """
        assert not self._frames, "a log holds one recording"
        first = bisect_left(frames, frames[-1].time_s - MAX_LOG_S, key=lambda frame: frame.time_s)
        self._frames = list(frames[first:])
        self._starts_s = [frame.time_s for frame in self._frames]
        self._newest_s = self._starts_s[-1]
        for record in self._segment(len(self._frames) - 1).records:
            self._newest_s = max(self._newest_s, time_of(record))
        return tuple(self._frames)

    def survey(self, frame: Frame) -> None:
        """Take note of what happened in the next segment of a recording; raises `CodecError` when it is none."""
        segment = Segment.of(frame, self._unpacker)
        self.state = EngineState(segment.key, self.state.seconds_before(math.inf))
        _count(self.state, segment)
        for record in segment.records:
            self._events.append(record, frame.time_s)

    def seal(self) -> None:
        """Make everything that was taken in so far a part of the past."""
        if self._began_s is not None:
            self._begin_segment(self._newest_s)
        self.pack()

    def pack(self) -> None:
        """Pack what was taken in, which takes as long as all else about it: a picture need not wait for that."""
        pending, self._pending = self._pending, []
        for item in pending:
            if isinstance(item, KeyFrame):
                self._grow_from(item)
            else:
                assert self._growing is not None
                self._growing.add(item)

    def state_at(self, time_s: float) -> EngineState:
        """Return the state at a moment of what was sealed, which its caller may go on with."""
        index = max(0, bisect_right(self._starts_s, time_s) - 1)
        segment = self._segment(index)
        state = self._state_before(index, segment)
        for record in segment.records:
            if time_of(record) <= time_s:
                state.fold(record)
        if (running := self._running_at(index, segment, time_s)) is not None:
            state.run(running)
        return state

    def iteration_s(self, time_s: float, step: int) -> float | None:
        """Return when the next iteration ended, or the one before for a negative step; None where there is none."""
        index = max(0, bisect_right(self._starts_s, time_s) - 1)
        while 0 <= index < len(self._frames):
            found_s = next_moment([sample.end_s for sample in self._samples(index)], time_s, step)
            if found_s is not None:
                return found_s
            index += step
        return None

    def stall_s(self, time_s: float, step: int) -> float | None:
        """Return when the next stall ended, or the one before for a negative step; None where there is none."""
        return self._events.next_stall_s(time_s, step)

    @property
    def stalls_s(self) -> tuple[float, ...]:
        """When each stall ended, in order."""
        return self._events.stalls_s

    def change_s(self, time_s: float, step: int) -> float | None:
        """Return when the settings changed next, or before for a negative step; None where they did not."""
        return self._events.next_change_s(time_s, step)

    def _append(self, record: StreamRecord) -> None:
        if self._began_s is None:
            self._begin_segment(record.start_s if isinstance(record, IterationStats) else time_of(record))
        elif self._newest_s - self._began_s >= SEGMENT_S:
            self._begin_segment(self._newest_s)
        assert self._began_s is not None
        self.state.fold(record)
        self._pending.append(record)
        self._events.append(record, self._began_s)
        self._newest_s = max(self._newest_s, time_of(record))

    def _begin_segment(self, start_s: float) -> None:
        self._began_s = start_s
        self._pending.append(self.state.key_frame(start_s))

    def _grow_from(self, key: KeyFrame) -> None:
        if self._growing is None:
            self._growing = OpenSegment(key)
            return
        if len(self._growing):
            self._push(self._growing.seal())
        self._growing = self._growing.followed_by(key)

    def _push(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._starts_s.append(frame.time_s)
        while frame.time_s - self._starts_s[0] > MAX_LOG_S:
            del self._frames[0], self._starts_s[0]
        self._events.forget_before(self._starts_s[0])

    def _segment(self, index: int) -> Segment:
        frame = self._frames[index]
        if frame.time_s not in self._opened:
            self._opened[frame.time_s] = self._unpacked(frame)
            if len(self._opened) > NUM_OPENED:
                self._opened.popitem(last=False)
        self._opened.move_to_end(frame.time_s)
        return self._opened[frame.time_s]

    def _unpacked(self, frame: Frame) -> Segment:
        """Return what a frame holds, nothing where it can't be read."""
        try:
            return Segment.of(frame, self._unpacker)
        except CodecError:
            return Segment(KeyFrame(time_s=frame.time_s), ())

    def _samples(self, index: int) -> tuple[IterationSample, ...]:
        start_s = self._starts_s[index]
        if start_s not in self._sampled:
            self._sampled[start_s] = tuple(map(sample_of, _iterations(self._segment(index))))
            if len(self._sampled) > NUM_SAMPLED:
                self._sampled.popitem(last=False)
        self._sampled.move_to_end(start_s)
        return self._sampled[start_s]

    def _state_before(self, index: int, segment: Segment) -> EngineState:
        """Return the state with which a segment begins."""
        start_s = segment.key.time_s
        state = EngineState(segment.key, self.state.seconds_before(int(start_s)))
        for event in self._events_before(start_s):
            state.list_event(event)
        state.recall(self._samples_before(index), self._recent_before(index))
        for earlier in self._begun_in_second_of(index):
            _count(state, self._segment(earlier), since_s=int(start_s))
        return state

    def _events_before(self, start_s: float) -> list[StreamRecord]:
        """Return what happened before a segment; kept, since one that is gone through is asked for again and again."""
        if self._listed is None or self._listed[0] != start_s:
            self._listed = start_s, self._events.before(start_s)
        return self._listed[1]

    def _samples_before(self, index: int) -> Iterator[IterationSample]:
        parts: list[tuple[IterationSample, ...]] = []
        while index > 0 and sum(map(len, parts)) < MAX_SAMPLES:
            index -= 1
            parts.append(self._samples(index))
        return chain.from_iterable(reversed(parts))

    def _recent_before(self, index: int) -> Iterator[IterationStats]:
        parts: list[list[IterationStats]] = []
        while index > 0 and sum(map(len, parts)) < MAX_RECENT:
            index -= 1
            parts.append(list(_iterations(self._segment(index))))
        return chain.from_iterable(reversed(parts))

    def _begun_in_second_of(self, index: int) -> Iterator[int]:
        """Yield the segments that may hold iterations of the second in which a later one begins."""
        first = bisect_right(self._starts_s, int(self._starts_s[index]), hi=index)
        yield from range(max(0, first - 1), index)

    def _running_at(self, index: int, segment: Segment, time_s: float) -> IterationScheduled | None:
        """Return the iteration that had begun at a moment and ended later; None where the records tell of none."""
        for iteration in _iterations(segment):
            if iteration.start_s <= time_s < iteration.end_s:
                return iteration.scheduled
        running = self._key_after(index).running
        return running if running is not None and running.start_s <= time_s else None

    def _key_after(self, index: int) -> KeyFrame:
        if index + 1 < len(self._frames):
            return self._segment(index + 1).key
        return KeyFrame(time_s=self._newest_s) if self._growing is None else self._growing.key


def _iterations(segment: Segment) -> Iterator[IterationStats]:
    return (record for record in segment.records if isinstance(record, IterationStats))


def _count(state: EngineState, segment: Segment, since_s: float = 0.0) -> None:
    """Count the iterations of a segment that ended since a moment, by the targets that were in force."""
    target_s = None if segment.key.settings is None else segment.key.settings.slo.tbt_s
    for record in segment.records:
        if isinstance(record, SettingsChanged):
            target_s = record.slo.tbt_s
        elif isinstance(record, IterationStats) and record.end_s >= since_s:
            state.count(record, target_s)
