"""Writes a run as a trace for ui.perfetto.dev: iterations, stages, counters, requests, and who froze whom."""

from collections import defaultdict, deque
from typing import IO, TypeAlias

from sarathid.protocol.stats import (
    IterationStats,
    LifeCycle,
    Overload,
    RequestArrival,
    RequestStats,
    SettingsChanged,
    StallEvent,
    StreamRecord,
)
from sarathid.tape.key_frame import KeyFrame
from sarathid.trace.request_lanes import RequestLanes
from sarathid.trace.track_events import Order, TrackEventFile

NUM_AHEAD = 1024  # records that are held back, in which a stall finds the chunk that it points at

Told: TypeAlias = KeyFrame | StreamRecord

_RANKS = {"events": 0, "iterations": 1, "stages": 2, "counters": 3}
_COUNTERS = {
    "token budget": "tokens",
    "decode tokens": "tokens",
    "prefill tokens": "tokens",
    "longest TBT": "ms",
    "KV blocks used": "blocks",
    "requests running": "requests",
    "requests waiting": "requests",
}


class TraceWriter:
    """Takes in records in their order and key frames between them, in bounded memory; its end is written by `close`."""

    def __init__(self, file: IO[bytes], start_s: float = 0.0, wall_offset_s: float | None = None) -> None:
        self._file = TrackEventFile(file, start_s, wall_offset_s)
        self._engine = self._file.add_group("engine", Order.EXPLICIT)
        self._events = self._file.add_lane("events", self._engine, _RANKS["events"])
        self._iterations: list[int] = []
        self._stages: list[int] = []
        self._counters = {
            name: self._file.add_counter(name, unit, self._engine, _RANKS["counters"])
            for name, unit in _COUNTERS.items()
        }
        self._requests = RequestLanes(self._file)
        self._ahead: deque[Told] = deque()
        self._stalls: defaultdict[int, list[tuple[StallEvent, range]]] = defaultdict(list)
        self._arrows: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        self._num_arrows = 0
        self._newest_written: int | None = None
        self._newest_s = start_s

    def add(self, record: Told) -> None:
        """Take in a record, or what stood when it came."""
        if isinstance(record, StallEvent):
            self._point(record)
        self._ahead.append(record)
        if len(self._ahead) > NUM_AHEAD:
            self._write(self._ahead.popleft())

    def close(self) -> None:
        """Write what was held back, and end what is open."""
        while self._ahead:
            self._write(self._ahead.popleft())
        self._requests.close(self._newest_s)

    def _point(self, stall: StallEvent) -> None:
        """Draw an arrow from each victim of a stall to the chunk that cost most of it."""
        arrows = range(self._num_arrows + 1, self._num_arrows + 1 + len(stall.victims))
        self._num_arrows += len(stall.victims)
        if not stall.is_delivery:
            self._stalls[stall.iteration].append((stall, arrows))
        if stall.chunk is not None and stall.chunk_iteration is not None and self._is_ahead(stall.chunk_iteration):
            self._arrows[stall.chunk_iteration, stall.chunk.request_id] += arrows

    def _is_ahead(self, iteration: int) -> bool:
        """Whether an iteration may still be held back."""
        return self._newest_written is None or iteration > self._newest_written

    def _write(self, record: Told) -> None:
        match record:
            case KeyFrame():
                self._requests.stand(record)
                self._newest_s = max(self._newest_s, record.time_s)
            case IterationStats():
                self._write_iteration(record)
            case RequestArrival():
                self._requests.arrive(record)
            case RequestStats():
                self._requests.end(record)
            case StallEvent() if record.is_delivery:
                for victim in record.victims:
                    self._requests.stall(record, victim, record.time_s, 0)
            case _:
                self._write_event(record)

    def _write_event(self, record: StreamRecord) -> None:
        match record:
            case SettingsChanged():
                target_s = record.slo.tbt_s
                facts = {"policy": record.policy, "tbt_target_ms": None if target_s is None else target_s * 1e3}
                name = f"revision {record.revision}: budget {record.settings.budget}, {record.policy}"
                self._file.mark(self._events, record.time_s, name, facts)
            case LifeCycle():
                self._file.mark(self._events, record.time_s, record.state, {"message": record.message})
            case Overload():
                self._file.mark(self._events, record.time_s, "overload" if record.is_overloaded else "no overload")

    def _write_iteration(self, stats: IterationStats) -> None:
        self._newest_written = stats.sequence_number
        self._newest_s = max(self._newest_s, stats.end_s)
        name = f"{stats.num_decode_tokens} decodes + {stats.num_prefill_tokens} prefill"
        self._write_slice(stats, name)
        self._write_stages(stats, name)
        self._write_counters(stats)
        self._write_requests(stats)

    def _write_slice(self, stats: IterationStats, name: str) -> None:
        facts = {
            "iteration": stats.sequence_number,
            "bound": stats.bound.value,
            "schedule_ms": stats.schedule_s * 1e3,
            "execute_ms": stats.execute_s * 1e3,
            "emit_ms": stats.emit_s * 1e3,
            "gc_ms": stats.gc_s * 1e3,
            "predicted_ms": None if stats.predicted_s is None else stats.predicted_s * 1e3,
        }
        self._file.add_slice(self._free_lane(stats), stats.start_s, stats.end_s, name, facts)

    def _free_lane(self, stats: IterationStats) -> int:
        """Return a lane for an iteration, one of its own while others are still in flight."""
        for lane in self._iterations:
            if self._file.newest_s(lane) <= stats.start_s + 1e-6:
                return lane
        self._iterations.append(self._file.add_lane("iterations", self._engine, _RANKS["iterations"]))
        return self._iterations[-1]

    def _write_stages(self, stats: IterationStats, name: str) -> None:
        while len(self._stages) < len(stats.stages):
            self._stages.append(self._file.add_lane(f"stage {len(self._stages)}", self._engine, _RANKS["stages"]))
        for lane, stage in zip(self._stages, stats.stages, strict=False):
            if stage.bubble_s > 0.0:
                self._file.add_slice(lane, stage.start_s - stage.bubble_s, stage.start_s, "bubble")
            facts = {"iteration": stats.sequence_number}
            self._file.add_slice(lane, stage.start_s, stage.start_s + stage.busy_s, name, facts)

    def _write_counters(self, stats: IterationStats) -> None:
        count, counters = self._file.count, self._counters
        count(counters["token budget"], stats.start_s, stats.token_budget)
        count(counters["decode tokens"], stats.start_s, stats.num_decode_tokens)
        count(counters["prefill tokens"], stats.start_s, stats.num_prefill_tokens)
        count(counters["KV blocks used"], stats.end_s, stats.num_blocks_used)
        count(counters["requests running"], stats.end_s, stats.num_running)
        count(counters["requests waiting"], stats.end_s, stats.num_waiting)
        if stats.gaps:
            count(counters["longest TBT"], stats.tokens_s, max([gap.tbt_s for gap in stats.gaps]) * 1e3)

    def _write_requests(self, stats: IterationStats) -> None:
        self._requests.preempt(stats.preempted, stats.start_s)
        for chunk in stats.chunks:
            self._requests.compute(stats, chunk, self._arrows.pop((stats.sequence_number, chunk.request_id), ()))
        for stall, arrows in self._stalls.pop(stats.sequence_number, ()):
            for victim, arrow in zip(stall.victims, arrows, strict=True):
                self._requests.stall(stall, victim, stats.tokens_s, arrow)
        with_token = [first.request_id for first in stats.first_tokens] + [gap.request_id for gap in stats.gaps]
        self._requests.decode(with_token, stats.tokens_s)
