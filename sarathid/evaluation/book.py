"""Writes what was reproduced: `summary.json`, tables in Markdown, and pictures where there is a plotting library."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from sarathid.evaluation.figure import Scope
from sarathid.evaluation.row import FigureResult, Row

_COLUMNS = ("model", "workload", "slo", "system", "baseline", "ours", "paper", "ours / paper", "unit", "requests")


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """`summary.json`; `profiles_sha256` tells the cost figures that it was made with."""

    version: str
    profiles_sha256: str
    is_simulated: bool
    rows: tuple[Row, ...]


def write_summary(directory: Path, summary: Summary) -> None:
    text = msgspec.json.format(msgspec.json.encode(summary), indent=1)
    (directory / "summary.json").write_bytes(text + b"\n")


def write_tables(directory: Path, summary: Summary, scope: Scope, results: Sequence[FigureResult]) -> None:
    """Write `REPORT.md`, a table a figure."""
    (directory / "REPORT.md").write_text("\n".join(_report(summary, scope, results)) + "\n", encoding="utf-8")


def _report(summary: Summary, scope: Scope, results: Sequence[FigureResult]) -> Iterator[str]:
    yield "# Sarathi-Serve's evaluation, simulated"
    yield ""
    yield f"sarathid {summary.version}, cost profiles `{summary.profiles_sha256}`."
    yield (
        "The real scheduler on simulated devices; true Poisson arrivals, "
        f"at most {scope.num_requests} requests a capacity trial, those of its first half hour as in the paper. "
        "Every row says how many its run had, a gain's the smaller of its two."
    )
    for result in results:
        yield ""
        yield f"## {result.title}"
        yield ""
        yield result.notes
        yield ""
        yield from table(result.rows)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a Markdown table of the rows, without the columns that say nothing."""
    cells = [dict(zip(_COLUMNS, _cells(row), strict=True)) for row in rows]
    shown = [column for column in _COLUMNS if any(cell[column] not in ("", "-") for cell in cells)]
    yield "| " + " | ".join(shown) + " |"
    yield "|" + "---|" * len(shown)
    for cell in cells:
        yield "| " + " | ".join(cell[column] for column in shown) + " |"


def _cells(row: Row) -> tuple[str, ...]:
    ours = ("more than " if row.is_lower_bound else "") + _number(row.ours)
    requests = str(row.num_requests) if row.num_requests else "-"
    return (
        row.model,
        row.workload,
        row.slo,
        row.system,
        row.baseline or "",
        ours,
        _number(row.paper),
        _number(row.ratio),
        row.unit,
        requests,
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
