"""Latencies as a person compares them: by span, and of tokens that came alone or beside a prompt."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sarathictl import units
from sarathictl.state.engine_view import EngineView, LatencyFigures
from sarathid.histogram import LatencyHistogram
from sarathid.protocol.stats import IterationStats


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """One line: what was timed, over which span, and how much of it met `target_s` (None without target or samples)."""

    name: str
    span: str
    figures: LatencyFigures
    target_s: float | None

    @property
    def in_time(self) -> float | None:
        """The share of the samples that met the target, None without one."""
        seen = self.figures.histogram
        if self.target_s is None or not seen.count:
            return None
        return seen.num_at_most(self.target_s) / seen.count


def latency_rows(view: EngineView) -> list[LatencyRow]:
    """Return TBT and TTFT by span, then TBT of the newest iterations by whether a prompt ran in them."""
    tbt_s, ttft_s = view.slo.tbt_s, view.slo.ttft_s
    return [
        *(LatencyRow("TBT", units.duration_name(figures.span_s), figures, tbt_s) for figures in view.tbt),
        LatencyRow("TTFT", units.duration_name(view.ttft.span_s), view.ttft, ttft_s),
        *_by_company(view.recent, tbt_s),
    ]


def figures_of(histogram: LatencyHistogram, span_s: float) -> LatencyFigures:
    """Return the figures of a histogram over `span_s` seconds."""
    p50_s, p90_s, p95_s, p99_s = histogram.percentiles((0.5, 0.9, 0.95, 0.99))
    return LatencyFigures(
        span_s=span_s,
        count=histogram.count,
        p50_s=p50_s,
        p90_s=p90_s,
        p95_s=p95_s,
        p99_s=p99_s,
        max_s=histogram.max_s,
        histogram=histogram,
    )


def bins(histogram: LatencyHistogram, edges_s: Sequence[float]) -> list[int]:
    """Return how many samples lie in (edge, next edge], the first edge included."""
    at_most = [histogram.num_at_most(edge) for edge in edges_s]
    at_most[0] = 0
    return [high - low for low, high in pairwise(at_most)]


def _by_company(recent: Sequence[IterationStats], target_s: float | None) -> Iterator[LatencyRow]:
    if not recent:
        return
    span_s = recent[-1].end_s - recent[0].start_s
    for name, iterations in (
        ("TBT alone", (iteration for iteration in recent if not iteration.chunks)),
        ("TBT beside a prompt", (iteration for iteration in recent if iteration.chunks)),
    ):
        yield LatencyRow(name, f"{len(recent)} it", figures_of(_gaps(iterations), span_s), target_s)


def _gaps(iterations: Iterable[IterationStats]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for iteration in iterations:
        for gap in iteration.gaps:
            histogram.record(gap.tbt_s)
    return histogram
