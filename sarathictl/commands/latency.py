"""`sarathictl latency`: TBT and TTFT by span."""

from collections.abc import Iterable
from typing import Any

import typer

from sarathictl import units
from sarathictl.commands.snapshot import view_now
from sarathictl.commands.watch import WatchOption, watch
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.output import table
from sarathictl.state.latencies import LatencyRow, latency_rows

_HEADINGS = ("", "OVER", "SEEN", "P50", "P90", "P95", "P99", "MAX", "IN TIME")


def latency(context: typer.Context, again: WatchOption = False, json: JsonOption = False) -> None:
    """Print TBT and TTFT by span, against their targets."""
    invocation = invocation_of(context, is_json=json)

    def answer() -> None:
        rows = latency_rows(view_now(invocation))
        invocation.answer({"latencies": [_fields(row) for row in rows]}, table(_HEADINGS, map(_cells, rows), {""}))

    watch(invocation, answer, is_repeated=again)


def _cells(row: LatencyRow) -> Iterable[str]:
    seen = row.figures
    yield from (row.name, row.span, str(seen.count))
    yield from map(units.duration, (seen.p50_s, seen.p90_s, seen.p95_s, seen.p99_s, seen.max_s))
    yield units.ABSENT if row.in_time is None else units.share(row.in_time)


def _fields(row: LatencyRow) -> dict[str, Any]:
    seen = row.figures
    return {
        "name": row.name,
        "span_s": seen.span_s,
        "target_s": row.target_s,
        "in_time": row.in_time,
        "count": seen.count,
        "p50_s": seen.p50_s,
        "p90_s": seen.p90_s,
        "p95_s": seen.p95_s,
        "p99_s": seen.p99_s,
        "max_s": seen.max_s,
        "buckets": list(seen.histogram.buckets()),
    }
