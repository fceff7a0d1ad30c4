"""A recording as time series in OpenMetrics' text format (version 1.0), to be taken into Prometheus after the fact.

The names are those of the daemon's own `/metrics`; counters count since the recording began.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import IO, TypeAlias

from sarathictl.export.told import Names, told
from sarathictl.state.engine_state import time_of
from sarathid.histogram import EXPOSED_BOUNDS_S
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import (
    EngineSettings,
    IterationStats,
    RequestStats,
    SettingsChanged,
    StallCause,
    StallEvent,
)
from sarathid.tape.key_frame import KeyFrame
from sarathid.tape.tape import Tape
from sarathid.trace.trace_writer import Told

MAX_MOMENTS = 7200  # a longer recording is told in longer steps

_STEP_S = 1.0
_COUNTERS = {
    "sarathid_iterations": "Iterations run.",
    "sarathid_generation_tokens": "Tokens generated.",
    "sarathid_prefill_tokens": "Prompt tokens computed.",
    "sarathid_num_preemptions": "Requests preempted.",
    "sarathid_requests": "Requests ended.",
    "sarathid_stalls": "Times between tokens above the target.",
}
_GAUGES = {
    "sarathid_num_requests_running": "Requests that hold blocks.",
    "sarathid_num_requests_waiting": "Requests that hold none, preempted ones included.",
    "sarathid_num_requests_preempted": "Requests that wait to be resumed.",
    "sarathid_kv_blocks_used": "KV cache blocks in use.",
    "sarathid_kv_blocks_free": "KV cache blocks free.",
    "sarathid_token_budget": "Tokens an iteration may take.",
    "sarathid_slo_tbt_seconds": "Target for the time between tokens.",
    "sarathid_slo_ttft_seconds": "Target for the time to first token.",
}
_HISTOGRAMS = {
    "sarathid_iteration_seconds": "Duration of an iteration.",
    "sarathid_inter_token_latency_seconds": "Time between two tokens of one request.",
    "sarathid_time_to_first_token_seconds": "Time from arrival to first token.",
}

# Each a family of its own, of unknown type: within a histogram, moments come before buckets, and prometheus_client's
# parser (0.26) then loses buckets.
_HISTOGRAM_PARTS = ("_bucket", "_count", "_sum")

Series: TypeAlias = tuple[str, str]
"""A family's name, and its label as it is written, or nothing."""


class Buckets:
    """Counts seconds by the bounds that are exposed, and what is above them all."""

    def __init__(self) -> None:
        self._counts = [0] * (len(EXPOSED_BOUNDS_S) + 1)
        self.sum_s = 0.0

    def record(self, samples_s: Iterable[float]) -> None:
        """Add samples."""
        for seconds in samples_s:
            self._counts[bisect_left(EXPOSED_BOUNDS_S, seconds)] += 1
            self.sum_s += seconds

    @property
    def at_most(self) -> Iterator[int]:
        """How many samples are at most as long as each bound, then how many there are."""
        return accumulate(self._counts)


@dataclass(slots=True)
class Tally:
    """What was counted and what stood, up to one moment."""

    values: dict[Series, float] = field(default_factory=dict)
    histograms: dict[str, Buckets] = field(default_factory=lambda: {name: Buckets() for name in _HISTOGRAMS})

    def __post_init__(self) -> None:
        plain = [name for name in _COUNTERS if name not in ("sarathid_requests", "sarathid_stalls")]
        self.values |= {(name, ""): 0.0 for name in plain}
        self.values |= {("sarathid_requests", _label("finish_reason", reason)): 0.0 for reason in FinishReason}
        self.values |= {("sarathid_stalls", _label("cause", cause)): 0.0 for cause in StallCause}

    def take(self, record: Told) -> None:
        """Take in a record."""
        match record:
            case KeyFrame():
                self._set_settings(record.settings)
            case SettingsChanged():
                self._set_settings(record.settings)
            case IterationStats():
                self._take_iteration(record)
            case RequestStats():
                self.values["sarathid_requests", _label("finish_reason", record.finish_reason)] += 1
            case StallEvent():
                self.values["sarathid_stalls", _label("cause", record.cause)] += len(record.victims)

    def samples(self) -> Iterator[tuple[Series, float]]:
        """Yield every series and what it has now."""
        yield from self.values.items()
        for name, buckets in self.histograms.items():
            *at_most, count = buckets.at_most
            for bound_s, num_at_most in zip(EXPOSED_BOUNDS_S, at_most, strict=True):
                yield (f"{name}_bucket", _label("le", str(bound_s))), num_at_most
            yield (f"{name}_bucket", _label("le", "+Inf")), count
            yield (f"{name}_count", ""), count
            yield (f"{name}_sum", ""), buckets.sum_s

    def _take_iteration(self, stats: IterationStats) -> None:
        for name, count in (
            ("sarathid_iterations", 1),
            ("sarathid_generation_tokens", len(stats.gaps) + len(stats.first_tokens)),
            ("sarathid_prefill_tokens", stats.num_prefill_tokens),
            ("sarathid_num_preemptions", len(stats.preempted)),
        ):
            self.values[name, ""] += count
        self._set("sarathid_num_requests_running", stats.num_running)
        self._set("sarathid_num_requests_waiting", stats.num_waiting)
        self._set("sarathid_num_requests_preempted", stats.num_preempted)
        self._set("sarathid_kv_blocks_used", stats.num_blocks_used)
        self._set("sarathid_kv_blocks_free", stats.num_blocks_free)
        self._set("sarathid_token_budget", stats.token_budget)
        self.histograms["sarathid_iteration_seconds"].record((stats.duration_s,))
        self.histograms["sarathid_inter_token_latency_seconds"].record(gap.tbt_s for gap in stats.gaps)
        self.histograms["sarathid_time_to_first_token_seconds"].record(first.ttft_s for first in stats.first_tokens)

    def _set_settings(self, settings: EngineSettings | None) -> None:
        if settings is not None:
            self._set("sarathid_slo_tbt_seconds", settings.slo.tbt_s)
            self._set("sarathid_slo_ttft_seconds", settings.slo.ttft_s)

    def _set(self, name: str, value: float | None) -> None:
        if value is None:
            self.values.pop((name, ""), None)
        else:
            self.values[name, ""] = value


class TimeSeries:
    """What a tally had at each of at most `MAX_MOMENTS` moments, by series, as a file has them one after the other."""

    def __init__(self) -> None:
        self._values: dict[Series, tuple[array[float], array[float]]] = {}

    def append(self, tally: Tally, at_s: float) -> None:
        """Note what a tally has at a moment (seconds since the epoch)."""
        for series, value in tally.samples():
            moments, values = self._values.setdefault(series, (array("d"), array("d")))
            moments.append(at_s)
            values.append(value)

    def lines(self) -> Iterator[str]:
        """Yield the exposition, family by family."""
        for name, words in _COUNTERS.items():
            yield from self._family(name, words, "counter", "_total")
        for name, words in _GAUGES.items():
            yield from self._family(name, words, "gauge")
        for name, words in _HISTOGRAMS.items():
            for part in _HISTOGRAM_PARTS:
                yield from self._family(f"{name}{part}", words, "unknown")
        yield "# EOF"

    def _family(self, name: str, words: str, kind: str, suffix: str = "") -> Iterator[str]:
        yield f"# TYPE {name} {kind}"
        if name.endswith("_seconds"):
            yield f"# UNIT {name} seconds"
        yield f"# HELP {name} {words}"
        for (family, label), (moments, values) in self._values.items():
            if family == name:
                for at_s, value in zip(moments, values, strict=True):
                    yield f"{name}{suffix}{label} {value:.12g} {at_s:.3f}"


def write_openmetrics(tape: Tape, file: IO[bytes], names: Names) -> None:
    """Write what stood at the end of every second in which something happened."""
    tally, series = Tally(), TimeSeries()
    span_s = tape.frames[-1].time_s - tape.start_s
    step_s = max(_STEP_S, span_s / (MAX_MOMENTS - 1))
    end_s: float | None = None
    for record in told(tape, names):
        if not isinstance(record, KeyFrame):
            time_s = time_of(record)
            if end_s is not None and time_s >= end_s:
                series.append(tally, end_s + tape.header.wall_offset_s)
            if end_s is None or time_s >= end_s:
                end_s = (time_s // step_s + 1.0) * step_s
        tally.take(record)
    if end_s is not None:
        series.append(tally, end_s + tape.header.wall_offset_s)
    file.writelines(f"{line}\n".encode() for line in series.lines())


def _label(name: str, value: str) -> str:
    return f'{{{name}="{value}"}}'
