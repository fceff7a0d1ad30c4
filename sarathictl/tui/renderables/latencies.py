"""Latencies by span as a table: how many, percentiles, and what share met the target."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.state.latencies import LatencyRow, latency_rows
from sarathictl.tui.renderables.line import Piece, fit, line
from sarathictl.tui.renderables.look import Look

_NAME_WIDTH = 20


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table; those of the highest `rank` go first when it gets narrow."""

    heading: str
    width: int
    rank: int
    draw: Callable[[LatencyRow, Look], Piece]


def draw_latencies(view: EngineView, width: int, height: int, look: Look) -> list[Text]:
    """Return at most `height` lines: a heading and a line a span."""
    columns = _columns_for(width)
    heading = "".join(column.heading.rjust(column.width) for column in columns)
    lines = [line([(" " * _NAME_WIDTH + heading, look.faint)])]
    name = ""
    for row in latency_rows(view):
        lines.append(line(_row(row, "" if row.name == name else row.name, columns, look)))
        name = row.name
    return [fit(text, width) for text in lines[:height]]


def _columns_for(width: int) -> list[Column]:
    chosen = list(_COLUMNS)
    while len(chosen) > 1 and _NAME_WIDTH + sum(column.width for column in chosen) > width:
        chosen.remove(max(chosen, key=lambda column: column.rank))
    return chosen


def _row(row: LatencyRow, name: str, columns: list[Column], look: Look) -> list[Piece]:
    pieces = [(f" {name:<{_NAME_WIDTH - 1}}", look.strong)]
    for column in columns:
        words, style = column.draw(row, look)
        pieces.append((words.rjust(column.width), style))
    return pieces


def _time(value: Callable[[LatencyRow], float | None]) -> Callable[[LatencyRow, Look], Piece]:
    def draw(row: LatencyRow, look: Look) -> Piece:
        value_s = value(row)
        is_over = value_s is not None and row.target_s is not None and value_s > row.target_s
        return units.duration(value_s), look.over if is_over else look.plain

    return draw


def _in_time(row: LatencyRow, look: Look) -> Piece:
    return units.share(row.in_time), look.strong


_COLUMNS = (
    Column("over", 7, 0, lambda row, look: (row.span, look.faint)),
    Column("seen", 8, 3, lambda row, look: (str(row.figures.count), look.faint)),
    Column("p50", 8, 2, _time(lambda row: row.figures.p50_s)),
    Column("p90", 8, 4, _time(lambda row: row.figures.p90_s)),
    Column("p95", 8, 5, _time(lambda row: row.figures.p95_s)),
    Column("p99", 8, 0, _time(lambda row: row.figures.p99_s)),
    Column("max", 8, 1, _time(lambda row: row.figures.max_s)),
    Column("in time", 9, 1, _in_time),
)
