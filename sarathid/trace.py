"""Writes a run as a trace that Perfetto and chrome://tracing show: iterations, counters and requests."""

from collections.abc import Iterator
from typing import IO, Any

import msgspec

from sarathid.protocol.stats import IterationStats, RequestStats

_US_PER_S = 1e6
_ENGINE = 1
_REQUESTS = 2

TraceEvent = dict[str, Any]


class TraceWriter:
    """Writes events as they come, in the JSON array format of the trace event specification; ends it when closed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lanes_end_s: list[float] = []
        self._separator = b"["
        self._write(_metadata(_ENGINE, "engine"), _metadata(_REQUESTS, "requests"))

    def add_iteration(self, stats: IterationStats) -> None:
        """Write an iteration, in a lane of its own while another one is still in flight."""
        self._write(*iteration_events(stats, self._free_lane(stats)))

    def add_request(self, stats: RequestStats) -> None:
        """Write what a request went through."""
        self._write(*request_events(stats))

    def close(self) -> None:
        self._file.write(b"]\n")

    def _write(self, *events: TraceEvent) -> None:
        for event in events:
            self._file.write(self._separator + msgspec.json.encode(event))
            self._separator = b",\n"

    def _free_lane(self, stats: IterationStats) -> int:
        for lane, end_s in enumerate(self._lanes_end_s):
            if end_s <= stats.start_s:
                self._lanes_end_s[lane] = stats.end_s
                return lane
        self._lanes_end_s.append(stats.end_s)
        return len(self._lanes_end_s) - 1


def iteration_events(stats: IterationStats, lane: int) -> Iterator[TraceEvent]:
    """Yield an iteration as a slice, and the engine's counters at its start."""
    chunks = [msgspec.to_builtins(chunk) for chunk in stats.chunks]
    yield {
        **_slice(f"{stats.num_decode_tokens} decodes + {stats.num_prefill_tokens} prefill", stats.start_s, stats.end_s),
        "pid": _ENGINE,
        "tid": lane,
        "args": {"iteration": stats.sequence_number, "chunks": chunks, "preempted": stats.preempted},
    }
    counters = {
        "sequences": {"running": stats.num_running, "waiting": stats.num_waiting},
        "KV blocks": {"used": stats.num_blocks_used, "free": stats.num_blocks_free},
    }
    for name, values in counters.items():
        yield {"name": name, "ph": "C", "ts": stats.start_s * _US_PER_S, "pid": _ENGINE, "args": values}


def request_events(stats: RequestStats) -> Iterator[TraceEvent]:
    """Yield a request's waiting, prefill and decode as slices in a lane of its own."""
    moments = (
        ("waiting", stats.arrival_s, stats.scheduled_s),
        ("prefill", stats.scheduled_s, stats.first_token_s),
        ("decode", stats.first_token_s, stats.finished_s),
    )
    counts = {
        "prompt_tokens": stats.num_prompt_tokens,
        "output_tokens": stats.num_output_tokens,
        "preemptions": stats.num_preemptions,
    }
    for name, start_s, end_s in moments:
        if start_s is not None and end_s is not None:
            yield {**_slice(name, start_s, end_s), "pid": _REQUESTS, "tid": stats.request_id, "args": counts}


def _slice(name: str, start_s: float, end_s: float) -> TraceEvent:
    return {"name": name, "ph": "X", "ts": start_s * _US_PER_S, "dur": (end_s - start_s) * _US_PER_S}


def _metadata(pid: int, name: str) -> TraceEvent:
    return {"name": "process_name", "ph": "M", "pid": pid, "args": {"name": name}}
