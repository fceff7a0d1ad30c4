"""`sarathictl latency`: TBT and TTFT, by span or by client."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer

from sarathictl import units
from sarathictl.commands.snapshot import snapshot_now, view_now
from sarathictl.commands.watch import WatchOption, watch
from sarathictl.invocation import Invocation, JsonOption, invocation_of
from sarathictl.output import table
from sarathictl.state.clients import ClientFigures, client_figures
from sarathictl.state.latencies import LatencyRow, latency_rows

_HEADINGS = ("", "OVER", "SEEN", "P50", "P90", "P95", "P99", "MAX", "IN TIME")
_CLIENT_HEADINGS = ("CLIENT", "REQUESTS", "TOKENS", "TTFT P50", "P95", "WORST GAP P50", "MAX", "STALLED")


class By(StrEnum):
    """What latencies are told by."""

    SPAN = "span"
    CLIENT = "client"


def latency(
    context: typer.Context,
    by: Annotated[
        By, typer.Option("--by", help="The time that is looked back, or whose requests they were.")
    ] = By.SPAN,
    again: WatchOption = False,
    json: JsonOption = False,
) -> None:
    """Print TBT and TTFT by span, against their targets, or by client.

    A client's row is of the newest requests that ended, of all its processes: the median of the longest gap in each,
    the longest of all, and the share of them that stalled.
    """
    invocation = invocation_of(context, is_json=json)
    answer = _by_client if by is By.CLIENT else _by_span
    watch(invocation, lambda: answer(invocation), is_repeated=again)


def _by_span(invocation: Invocation) -> None:
    rows = latency_rows(view_now(invocation))
    headings, cells = [*_HEADINGS], [[*_cells(row)] for row in rows]
    if invocation.is_wide:
        headings.append("TARGET")
        cells = [[*own, units.duration(row.target_s)] for own, row in zip(cells, rows, strict=True)]
    invocation.answer({"latencies": [_fields(row) for row in rows]}, table(headings, cells, {""}))


def _by_client(invocation: Invocation) -> None:
    found = client_figures(snapshot_now(invocation).finished)
    text = table(_CLIENT_HEADINGS, map(_client_cells, found), {"CLIENT"})
    invocation.answer({"clients": msgspec.to_builtins(found)}, text)


def _client_cells(found: ClientFigures) -> Iterable[str]:
    yield from (units.printable(found.client) or units.ABSENT, str(found.num_requests), str(found.num_output_tokens))
    yield from map(units.duration, (found.ttft_p50_s, found.ttft_p95_s, found.worst_p50_s, found.worst_max_s))
    yield units.share(found.stalled)


def _cells(row: LatencyRow) -> Iterable[str]:
    seen = row.figures
    yield from (row.name, row.span, str(seen.count))
    yield from map(units.duration, (seen.p50_s, seen.p90_s, seen.p95_s, seen.p99_s, seen.max_s))
    yield units.share(row.in_time)


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
