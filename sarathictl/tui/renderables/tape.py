"""The iteration tape: what each moment's iteration ran, against its budget, and whom it kept waiting."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from math import ceil
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from rich.style import Style
from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.line import Piece, column_of, fit, line
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.renderables.tape_columns import Axis, Column, first_column, tape_columns

ZOOMS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
DEFAULT_ZOOM_S = 0.1
LABEL_WIDTH = 10
MARGIN_WIDTH = 14
TICK_EVERY = 20
MIN_ROWS_FOR_TICKS = 10
MIN_ROWS_FOR_TALL_GAPS = 13
MIN_ROWS_FOR_STAGES = 14

# Gap lane, from the bottom: multiples of the target that its rows end at.
TALL_LANE = (0.25, 1.0, 2.0, 4.0)
FLAT_LANE = (1.0,)

_Run: TypeAlias = tuple[Column, int]  # a column, and how many of its kind stand side by side from it on


class _Row(NamedTuple):
    """One row: what stands at its left, its cells as far as there are any, and what stands at its right."""

    label: str
    cells: Iterable[Piece]
    note: Piece | None = None


def draw_tape(
    view: EngineView, axis: Axis, zoom_s: float, width: int, height: int, look: Look, wall_offset_s: float
) -> list[Text]:
    """Return `height` lines of `width` cells: chart, stall row, gap lane and, with room for it, ticks."""
    num_columns = max(1, width - LABEL_WIDTH - MARGIN_WIDTH)
    columns = tape_columns(view, axis, num_columns, zoom_s)
    lane = TALL_LANE if height >= MIN_ROWS_FOR_TALL_GAPS else FLAT_LANE
    num_ticks = 1 if height >= MIN_ROWS_FOR_TICKS else 0
    has_stages = height >= MIN_ROWS_FOR_STAGES and bool(view.samples) and view.samples[-1].bubble_share is not None
    rows = [
        *_chart(columns, max(1, height - 1 - len(lane) - num_ticks - has_stages), look),
        _stall_row(columns, view.slo.tbt_s, look),
        *_gap_lane(columns, view.slo.tbt_s, lane, look),
    ]
    if has_stages:
        rows.append(_bubble_lane(columns, look))
    lines = [_line(row, num_columns - len(columns), look) for row in rows]
    if num_ticks:
        names = _ticks_over_time(view.now_s, zoom_s, num_columns, wall_offset_s)
        if axis is Axis.ITERATION:
            names = _ticks_by_iteration(view, num_columns)
        lines.append(_line(_Row("", [(_placed(names, num_columns), look.faint)]), 0, look))
    return [fit(text, width) for text in lines[:height]]


def _chart(columns: Sequence[Column], num_rows: int, look: Look) -> Iterator[_Row]:
    runs = _runs(columns, attrgetter("num_decode_tokens", "num_prefill_tokens", "token_budget", "is_running"))
    present = [run for run in runs if run[0].num_tokens]
    top = _top([column for column, _ in present])
    notes = _chart_notes(present, look)
    for row in reversed(range(num_rows)):
        label = _chart_label(row, num_rows, top)
        draw = partial(_chart_cell, row=row, rows_per_token=num_rows / top if top else 0.0, look=look)
        yield _Row(label, _cells(runs, draw), notes.get(num_rows - 1 - row))


def _top(columns: Sequence[Column]) -> int:
    """Return the tokens at full height: the largest budget, or a round number above what no budget cut."""
    budget = max((column.token_budget for column in columns), default=0)
    most = max((column.num_tokens for column in columns), default=0)
    if most <= budget:
        return budget
    step = int(10.0 ** max(0, len(str(most)) - 2))
    return -(-most // step) * step


def _chart_label(row: int, num_rows: int, top: int) -> str:
    if row == 0:
        return "0 ┤"
    if top and (row == num_rows - 1 or (num_rows >= 6 and 2 * (row + 1) == num_rows)):
        return f"{round(top * (row + 1) / num_rows)} ┤"
    return "│"


def _chart_notes(runs: Sequence[_Run], look: Look) -> dict[int, Piece]:
    """Return what stands at the right of the chart's rows, by row from the top."""
    num_tokens = sum(column.num_tokens * count for column, count in runs)
    if not num_tokens:
        return {}
    num_granted = sum(column.token_budget * count for column, count in runs)
    prefill = sum(column.num_prefill_tokens * count for column, count in runs) / num_tokens
    is_cut = all(column.num_tokens <= column.token_budget for column, _ in runs)
    return {
        0: (f"budget {runs[-1][0].token_budget}", look.plain),
        1: (f"fill {units.share(num_tokens / num_granted)}" if is_cut else "cuts nothing", look.plain),
        2: (f"prefill {units.share(prefill)}", look.prefill),
        3: (f"decode {units.share(1.0 - prefill)}", look.decode),
    }


def _chart_cell(column: Column, row: int, rows_per_token: float, look: Look) -> Piece:
    """Return the cell of `row`, counted from the bottom, where decodes lie under prefill."""
    if not column.num_tokens:
        return ("·", look.faint) if row == 0 else (" ", look.plain)
    decode = column.num_decode_tokens * rows_per_token - row
    total = column.num_tokens * rows_per_token - row
    if total <= 0.0:
        is_edge = 0.0 < column.token_budget * rows_per_token - row <= 1.0
        return ("╌", look.faint) if is_edge else (" ", look.plain)
    if column.is_running:
        return "░", look.decode if decode >= 1.0 or decode >= total else look.prefill
    if decode >= 1.0:
        return "█", look.decode_fill
    if decode > 0.0:
        return _edge_cell(decode, total, row, look)
    return ("▒", look.prefill_fill) if total >= 0.25 else (" ", look.plain)


def _edge_cell(decode: float, total: float, row: int, look: Look) -> Piece:
    """Return the cell in which decodes end: prefill above them shows through, where there are colours."""
    if total < 0.5 or total == decode:
        return column_of(decode), look.decode
    if look.decode_on_prefill is not None:
        return column_of(decode), look.decode_on_prefill
    return ("█", look.decode_fill) if decode >= 0.5 or row == 0 else ("▒", look.prefill_fill)


def _stall_row(columns: Sequence[Column], target_s: float | None, look: Look) -> _Row:
    def cell(column: Column) -> Piece:
        return ("!", look.over) if _is_over(column, target_s) else (" ", look.plain)

    num_over = sum(_is_over(column, target_s) for column in columns)
    note = (f"{units.share(num_over / len(columns))} stalled", look.over) if num_over else None
    runs = _runs(columns, partial(_is_over, target_s=target_s))
    return _Row("stall", _cells(runs, cell), note)


def _gap_lane(columns: Sequence[Column], target_s: float | None, lane: Sequence[float], look: Look) -> Iterator[_Row]:
    worst_s = max(column.gap_s for column in columns)
    unit_s = target_s or worst_s / lane[-1] or 1.0
    runs = _runs(columns, attrgetter("gap_s"))
    for row in reversed(range(len(lane))):
        low_s, high_s = unit_s * (lane[row - 1] if row else 0.0), unit_s * lane[row]
        is_target = target_s is not None and lane[row] == 1.0
        draw = _gap_cell(low_s, high_s, target_s, is_target, look)
        name = "SLO " if is_target else "gap " if lane[row] == lane[-1] else ""
        note = (f"worst {units.short_duration(worst_s)}", look.plain) if row == len(lane) - 1 and worst_s else None
        yield _Row(f"{name}{units.short_duration(high_s)}", _cells(runs, draw), note)


def _gap_cell(
    low_s: float, high_s: float, target_s: float | None, is_target: bool, look: Look
) -> Callable[[Column], Piece]:
    """Return how a column's worst gap is drawn in the row between two lengths."""

    def draw(column: Column) -> Piece:
        if column.gap_s <= low_s:
            return ("┄", look.slo) if is_target else (" ", look.plain)
        block = column_of((column.gap_s - low_s) / (high_s - low_s))
        if not _is_over(column, target_s):
            return block, look.faint
        return block, look.over_fill if block == "█" else look.over

    return draw


def _bubble_lane(columns: Sequence[Column], look: Look) -> _Row:
    """Return how much of each iteration the pipeline stage that idled most was idle."""

    def cell(column: Column) -> Piece:
        return column_of(column.bubble_share) if column.num_tokens else " ", look.faint

    shares = [column.bubble_share for column in columns if column.num_tokens]
    note = (f"bubble {units.share(sum(shares) / len(shares))}", look.plain) if shares else None
    runs = _runs(columns, attrgetter("bubble_share", "num_tokens"))
    return _Row("pipeline", _cells(runs, cell), note)


def _ticks_over_time(now_s: float, zoom_s: float, num_columns: int, wall_offset_s: float) -> Iterator[tuple[int, str]]:
    """Yield the times of day that are whole multiples of `TICK_EVERY` columns, each with its column."""
    first = first_column(now_s, num_columns, zoom_s)
    every_s = TICK_EVERY * zoom_s
    number = ceil((first * zoom_s + wall_offset_s) / every_s)
    while (column := round((number * every_s - wall_offset_s) / zoom_s) - first) < num_columns:
        yield column, f"┴{units.clock_time(number * every_s, has_tenths=every_s < 1.0)}"
        number += 1


def _ticks_by_iteration(view: EngineView, num_columns: int) -> Iterator[tuple[int, str]]:
    """Yield the number of every twentieth iteration, counted from the newest, with its column."""
    yield num_columns - len("now"), "now"
    for back in range(TICK_EVERY, min(num_columns, len(view.samples)), TICK_EVERY):
        yield num_columns - 1 - back, f"┴{view.samples[-1 - back].sequence_number}"


def _placed(names: Iterable[tuple[int, str]], num_columns: int) -> str:
    """Return names at their columns, those alone that are whole there."""
    cells = [" "] * num_columns
    for column, name in names:
        if 0 <= column <= num_columns - len(name):
            cells[column : column + len(name)] = name
    return "".join(cells)


def _is_over(column: Column, target_s: float | None) -> bool:
    return target_s is not None and column.gap_s > target_s


def _line(row: _Row, num_ahead: int, look: Look) -> Text:
    """Return label, cells, room for what is to come and margin in their widths; an axis' label ends in its tick."""
    ends_in_axis = row.label.endswith(("┤", "│"))
    head = row.label.rjust(LABEL_WIDTH) if ends_in_axis else f"{row.label.rjust(LABEL_WIDTH - 1)}│"
    words, style = row.note or ("", look.plain)
    ahead = (" " * num_ahead, look.plain)
    return line([(head, look.faint), *row.cells, ahead, (f" {words}".ljust(MARGIN_WIDTH), style)])


def _runs(columns: Sequence[Column], looks: Callable[[Column], object]) -> list[_Run]:
    """Return columns that look alike once: an iteration spans many, and decodes alone differ by nothing."""
    return [(next(run), 1 + sum(1 for _ in run)) for _, run in groupby(columns, looks)]


def _cells(runs: Sequence[_Run], draw: Callable[[Column], Piece]) -> Iterator[Piece]:
    """Draw one row, one piece a style."""
    glyphs: list[str] = []
    style = Style()
    for column, count in runs:
        glyph, own = draw(column)
        if own is not style:
            yield "".join(glyphs), style
            glyphs, style = [], own
        glyphs.append(glyph * count)
    yield "".join(glyphs), style


def tape_title(axis: Axis, zoom_s: float, look: Look) -> Text:
    """Return what one column and one row of the tape mean."""
    scale = f"{units.duration(zoom_s)} a column" if axis is Axis.TIME else "one column an iteration"
    return line(
        [
            ("ITERATIONS", look.strong),
            ("  tokens in each · ", look.plain),
            ("█ decode", look.decode),
            (" ", look.plain),
            ("▒ prefill", look.prefill),
            (f" ░ running · {scale}", look.plain),
        ]
    )
