"""The iteration tape: what each moment's iteration ran, against its budget, and whom it kept waiting."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, pairwise
from math import ceil
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from rich.style import Style
from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.line import Piece, column_of, fit, line
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.renderables.tape_columns import MEAN_FROM_S, Axis, Column, TapeColumns, first_column

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


class _Scale(NamedTuple):
    """How columns are drawn: `top` are the tokens at full height, `unit_s` what the lane's rows are multiples of."""

    num_chart_rows: int
    top: int
    lane: tuple[float, ...]
    unit_s: float
    target_s: float | None
    has_stages: bool
    look: Look


def draw_tape(
    view: EngineView, axis: Axis, zoom_s: float, width: int, height: int, look: Look, wall_offset_s: float
) -> list[Text]:
    """Return `height` lines of `width` cells: chart, stall row, gap lane and, with room for it, ticks."""
    left, right = Tape().draw(view, axis, zoom_s, width, height, look, wall_offset_s)
    return [
        fit(Text("", no_wrap=True, end="").append_text(one).append_text(other), width)
        for one, other in zip(left, right, strict=True)
    ]


class Tape:
    """Draws a tape again and again, in two parts side by side: the left one stands still most of the time."""

    def __init__(self, num_newest: int = 0) -> None:
        """Have the `num_newest` columns at the right edge drawn with the margin, apart from the others."""
        self._num_newest = num_newest
        self._columns = TapeColumns()
        self._left: tuple[object, list[Text]] = (None, [])

    def draw(
        self, view: EngineView, axis: Axis, zoom_s: float, width: int, height: int, look: Look, wall_offset_s: float
    ) -> tuple[list[Text], list[Text]]:
        """Return the `height` lines of both parts; those of the left one are the same objects while it stands still."""
        num_columns = max(1, width - LABEL_WIDTH - MARGIN_WIDTH)
        num_left = max(0, num_columns - self._num_newest)
        columns = self._columns.of(view, axis, num_columns, zoom_s)
        scale = _scale_of(view, columns, height, look)
        names = ""
        if height >= MIN_ROWS_FOR_TICKS:
            names = _placed(_tick_names(view, axis, zoom_s, num_columns, wall_offset_s), num_columns)
        key = (columns[:num_left], scale, names[:num_left], num_left)
        if self._left[0] != key:
            self._left = key, _left_lines(columns[:num_left], scale, names[:num_left], num_left)[:height]
        right = _right_lines(columns, scale, names[num_left:], num_left, num_columns)
        return self._left[1], right[:height]


def _scale_of(view: EngineView, columns: Sequence[Column], height: int, look: Look) -> _Scale:
    lane = TALL_LANE if height >= MIN_ROWS_FOR_TALL_GAPS else FLAT_LANE
    has_ticks = height >= MIN_ROWS_FOR_TICKS
    has_stages = height >= MIN_ROWS_FOR_STAGES and bool(view.samples) and view.samples[-1].bubble_share is not None
    target_s = view.slo.tbt_s
    return _Scale(
        num_chart_rows=max(1, height - 1 - len(lane) - has_ticks - has_stages),
        top=_top(columns),
        lane=lane,
        unit_s=target_s or _worst_s(columns) / lane[-1] or 1.0,
        target_s=target_s,
        has_stages=has_stages,
        look=look,
    )


def _left_lines(columns: Sequence[Column], scale: _Scale, names: str, num_cells: int) -> list[Text]:
    """Return labels and cells; the label of an axis ends in its tick."""
    look = scale.look
    ahead = (" " * (num_cells - len(columns)), look.plain)
    labels = [*_chart_labels(scale), "stall", *_lane_labels(scale), *(["pipeline"] if scale.has_stages else [])]
    lines = []
    for label, cells in zip(labels, _rows(columns, scale), strict=True):
        ends_in_axis = label.endswith(("┤", "│"))
        head = label.rjust(LABEL_WIDTH) if ends_in_axis else f"{label.rjust(LABEL_WIDTH - 1)}│"
        lines.append(line([(head, look.faint), *cells, ahead]))
    return [*lines, line([("│".rjust(LABEL_WIDTH) + names, look.faint)])]


def _right_lines(columns: Sequence[Column], scale: _Scale, names: str, num_left: int, num_columns: int) -> list[Text]:
    """Return the newest cells and the margin, the words in which tell of all columns."""
    plain = scale.look.plain
    ahead = (" " * (num_columns - max(num_left, len(columns))), plain)
    lines = []
    for cells, note in zip(_rows(columns[num_left:], scale), _notes(columns, scale), strict=True):
        words, style = note or ("", plain)
        lines.append(line([*cells, ahead, (f" {words}".ljust(MARGIN_WIDTH), style)]))
    return [*lines, line([(names + " " * MARGIN_WIDTH, scale.look.faint)])]


def _rows(columns: Sequence[Column], scale: _Scale) -> Iterator[Iterator[Piece]]:
    """Yield the cells of each row: chart, stalls, gap lane, and bubbles where there are stages."""
    yield from _chart(columns, scale)
    yield _stall_row(columns, scale)
    yield from _gap_lane(columns, scale)
    if scale.has_stages:
        yield _bubble_lane(columns, scale)


def _notes(columns: Sequence[Column], scale: _Scale) -> list[Piece | None]:
    """Return what stands at the right of each row, None where nothing does."""
    worst_s, look = _worst_s(columns), scale.look
    num_over = sum(_is_over(column, scale.target_s) for column in columns)
    lane: list[Piece | None] = [None] * len(scale.lane)
    if worst_s:
        lane[0] = (f"worst {units.short_duration(worst_s)}", look.plain)
    chart = _chart_notes(columns, look)
    return [
        *(chart.get(row) for row in range(scale.num_chart_rows)),
        (f"{units.share(num_over / len(columns))} stalled", look.over) if num_over else None,
        *lane,
        *([_bubble_note(columns, look)] if scale.has_stages else []),
    ]


def _chart(columns: Sequence[Column], scale: _Scale) -> Iterator[Iterator[Piece]]:
    runs = _runs(
        columns, attrgetter("num_decode_tokens", "num_prefill_tokens", "token_budget", "is_running", "most_tokens")
    )
    rows_per_token = scale.num_chart_rows / scale.top if scale.top else 0.0
    for row in reversed(range(scale.num_chart_rows)):
        yield _cells(runs, partial(_chart_cell, row=row, rows_per_token=rows_per_token, look=scale.look))


def _chart_labels(scale: _Scale) -> Iterator[str]:
    num_rows, top = scale.num_chart_rows, scale.top
    for row in reversed(range(num_rows)):
        if row == 0:
            yield "0 ┤"
        elif top and (row == num_rows - 1 or (num_rows >= 6 and 2 * (row + 1) == num_rows)):
            yield f"{round(top * (row + 1) / num_rows)} ┤"
        else:
            yield "│"


def _top(columns: Sequence[Column]) -> int:
    """Return the tokens at full height: the largest budget, or a round number above what no budget cut."""
    budget = max((column.token_budget for column in columns), default=0)
    most = max((max(column.num_tokens, column.most_tokens) for column in columns), default=0)
    if most <= budget:
        return budget
    step = int(10.0 ** max(0, len(str(most)) - 2))
    return -(-most // step) * step


def _chart_notes(columns: Sequence[Column], look: Look) -> dict[int, Piece]:
    """Return what stands at the right of the chart's rows, by row from the top."""
    present = [column for column in columns if column.num_tokens]
    if not present:
        return {}
    num_tokens = sum(column.num_tokens for column in present)
    num_granted = sum(column.token_budget for column in present)
    prefill = sum(column.num_prefill_tokens for column in present) / num_tokens
    is_cut = all(max(column.num_tokens, column.most_tokens) <= column.token_budget for column in present)
    return {
        0: (f"budget {present[-1].token_budget}", look.plain),
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
        if 0.0 < column.most_tokens * rows_per_token - row <= 1.0:
            return "▔", look.prefill
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


def _stall_row(columns: Sequence[Column], scale: _Scale) -> Iterator[Piece]:
    look, is_over = scale.look, partial(_is_over, target_s=scale.target_s)
    return _cells(_runs(columns, is_over), lambda column: ("!", look.over) if is_over(column) else (" ", look.plain))


def _gap_lane(columns: Sequence[Column], scale: _Scale) -> Iterator[Iterator[Piece]]:
    runs = _runs(columns, attrgetter("gap_s"))
    for low, high in reversed([*pairwise((0.0, *scale.lane))]):
        is_target = scale.target_s is not None and high == 1.0
        yield _cells(runs, _gap_cell(scale.unit_s * low, scale.unit_s * high, scale.target_s, is_target, scale.look))


def _lane_labels(scale: _Scale) -> Iterator[str]:
    for multiple in reversed(scale.lane):
        is_target = scale.target_s is not None and multiple == 1.0
        name = "SLO " if is_target else "gap " if multiple == scale.lane[-1] else ""
        yield f"{name}{units.short_duration(scale.unit_s * multiple)}"


def _worst_s(columns: Sequence[Column]) -> float:
    return max(column.gap_s for column in columns)


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


def _bubble_lane(columns: Sequence[Column], scale: _Scale) -> Iterator[Piece]:
    """Return how much of each iteration the pipeline stage that idled most was idle."""

    def cell(column: Column) -> Piece:
        return column_of(column.bubble_share) if column.num_tokens else " ", scale.look.faint

    return _cells(_runs(columns, attrgetter("bubble_share", "num_tokens")), cell)


def _bubble_note(columns: Sequence[Column], look: Look) -> Piece | None:
    shares = [column.bubble_share for column in columns if column.num_tokens]
    return (f"bubble {units.share(sum(shares) / len(shares))}", look.plain) if shares else None


def _tick_names(
    view: EngineView, axis: Axis, zoom_s: float, num_columns: int, wall_offset_s: float
) -> Iterator[tuple[int, str]]:
    if axis is Axis.ITERATION:
        return _ticks_by_iteration(view, num_columns)
    return _ticks_over_time(view.now_s, zoom_s, num_columns, wall_offset_s)


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
    is_mean = axis is Axis.TIME and zoom_s >= MEAN_FROM_S
    return line(
        [
            ("ITERATIONS", look.strong),
            ("  tokens, mean · " if is_mean else "  tokens in each · ", look.plain),
            ("█ decode", look.decode),
            (" ", look.plain),
            ("▒ prefill", look.prefill),
            (" ▔ most" if is_mean else "", look.prefill),
            (f"{'' if is_mean else ' ░ running'} · {scale}", look.plain),
        ]
    )
