"""The table of requests: where each stands, how it fared, and whose it is."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal

from rich.style import Style
from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.line import Piece, bar, fit, line, title
from sarathictl.tui.renderables.look import Look
from sarathid.protocol.control import RequestState
from sarathid.tape.request_table import RequestRow

_GAP = " "
_PROGRESS_CELLS = 8

NOTHING_LIVE = "no requests; `sarathictl generate 'Once upon a time'` sends one"
NOTHING_RECORDED = "no request was there at this moment"


@dataclass(frozen=True, slots=True)
class Context:
    """What a cell needs to know beside its row."""

    now_s: float
    target_s: float | None
    block_size: int | None
    look: Look


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table; those of the highest `rank` go first when it gets narrow."""

    heading: str
    width: int
    align: Literal["left", "right"]
    rank: int
    draw: Callable[[RequestRow, Context], Piece]


def draw_requests(
    view: EngineView,
    selected: int | None,
    width: int,
    height: int,
    look: Look,
    *,
    followed: Collection[int] = (),
    nothing: str = NOTHING_LIVE,
) -> list[Text]:
    """Return heading and rows in `height` lines; `selected` is the id of the marked request.

    Those that are `followed` have a mark of their own. Without rows the words `nothing` say why.
    """
    columns = columns_for(width)
    heading = _GAP.join(_aligned(column.heading, column) for column in columns)
    lines = [fit(line([(f" {heading}", look.faint)]), width)]
    if not view.requests:
        return [*lines, fit(line([(f" {nothing}", look.faint)]), width)][:height]
    block_size = None if view.info is None else view.info.block_size
    context = Context(view.now_s, view.slo.tbt_s, block_size, look)
    for row in _shown(view.requests, selected, height - 1):
        mark = "◆" if row.request_id in followed else " "
        lines.append(fit(_draw_row(row, mark, columns, row.request_id == selected, context), width))
    return lines


def requests_title(view: EngineView, look: Look) -> Text:
    """Return what the panel shows and how many there are."""
    preempted = f" · {view.num_preempted} preempted" if view.num_preempted else ""
    return title("REQUESTS", f"{view.num_running} running · {view.num_waiting} waiting{preempted}", look)


def columns_for(width: int) -> list[Column]:
    """Return the columns that fit into `width` cells, those that matter least left out; the client has the rest."""
    chosen = list(COLUMNS)
    while len(chosen) > 1 and 1 + sum(column.width + len(_GAP) for column in chosen) > width:
        chosen.remove(max(chosen, key=lambda column: column.rank))
    room = width - 1 - sum(column.width + len(_GAP) for column in chosen)
    return [replace(column, width=column.width + room) if column is CLIENT else column for column in chosen]


def _shown(rows: tuple[RequestRow, ...], selected: int | None, num_rows: int) -> tuple[RequestRow, ...]:
    """Return as many rows as there is room for, the selected one among them."""
    ids = [row.request_id for row in rows]
    position = ids.index(selected) if selected in ids else 0
    first = max(0, min(position - num_rows + 1, len(rows) - num_rows))
    return rows[first : first + num_rows]


def _draw_row(row: RequestRow, mark: str, columns: list[Column], is_selected: bool, context: Context) -> Text:
    look = context.look
    pieces: list[Piece] = [("▶" if is_selected else mark, look.strong)]
    for column in columns:
        content, style = column.draw(row, context)
        pieces += [(_aligned(content, column), style), (_GAP, look.plain)]
    text = line(pieces)
    if is_selected:
        text.stylize_before(look.selected)
    return text


def _aligned(content: str, column: Column) -> str:
    """Return a cell as wide as its column; what is cut off is the start, since names differ at their ends."""
    cut = content if len(content) <= column.width else "…" + content[1 - column.width :]
    return cut.rjust(column.width) if column.align == "right" else cut.ljust(column.width)


def _plain(words: Callable[[RequestRow], str]) -> Callable[[RequestRow, Context], Piece]:
    return lambda row, context: (words(row), context.look.plain)


def _state(row: RequestRow, context: Context) -> Piece:
    mark = "↯ " if row.state is RequestState.PREEMPTED else ""
    return f"{mark}{row.state.value}", context.look.state_style(row.state)


def _prefill(row: RequestRow, context: Context) -> Piece:
    if row.num_prompt_tokens is None or row.state is RequestState.DECODE:
        return "done" if row.state is RequestState.DECODE else units.ABSENT, context.look.faint
    share = min(1.0, row.num_computed_tokens / row.num_prompt_tokens)
    return f"{bar(share, _PROGRESS_CELLS)} {units.share(share).replace(' ', ''):>4}", context.look.prefill


def _output(row: RequestRow) -> str:
    limit = units.ABSENT if row.max_tokens is None else row.max_tokens
    return f"{row.num_output_tokens}/{limit}"


def _age(row: RequestRow, context: Context) -> Piece:
    age_s = None if row.arrival_s is None else round(max(0.0, context.now_s - row.arrival_s), 1)
    return units.short_duration(age_s), context.look.plain


def _worst(row: RequestRow, context: Context) -> Piece:
    return units.short_duration(row.tbt_max_s), _over_style(row.tbt_max_s, context)


def _last(row: RequestRow, context: Context) -> Piece:
    return units.short_duration(row.tbt_last_s), _over_style(row.tbt_last_s, context)


def _blocks(row: RequestRow, context: Context) -> Piece:
    """Return how many blocks of the KV cache its tokens fill, those that it shares counted too."""
    if context.block_size is None or not row.num_computed_tokens:
        return "·", context.look.faint
    return str(-(-row.num_computed_tokens // context.block_size)), context.look.kv


def _over_style(value_s: float | None, context: Context) -> Style:
    is_over = value_s is not None and context.target_s is not None and value_s > context.target_s
    return context.look.over if is_over else context.look.plain


def _stalls(row: RequestRow, context: Context) -> Piece:
    if not row.num_stalls:
        return "·", context.look.faint
    return f"{'!' * min(4, row.num_stalls)} {row.num_stalls}", context.look.over


CLIENT = Column("CLIENT", 10, "left", 5, _plain(lambda row: units.printable(row.client) or units.ABSENT))
COLUMNS = (
    Column("ID", 6, "right", 0, _plain(lambda row: str(row.request_id))),
    Column("STATE", 11, "left", 0, _state),
    Column("PROMPT", 6, "right", 6, _plain(lambda row: str(row.num_prompt_tokens or units.ABSENT))),
    Column("PREFILL", 13, "left", 7, _prefill),
    Column("OUT/MAX", 9, "right", 1, _plain(_output)),
    Column("AGE", 6, "right", 4, _age),
    Column("TTFT", 6, "right", 3, _plain(lambda row: units.short_duration(row.ttft_s))),
    Column("TBT", 6, "right", 3, _last),
    Column("WORST", 6, "right", 1, _worst),
    Column("STALLS", 8, "left", 2, _stalls),
    Column("REDONE", 6, "right", 8, _plain(lambda row: str(row.num_preemptions or "·"))),
    Column("KV BLK", 6, "right", 9, _blocks),
    Column("PRIORITY", 8, "right", 10, _plain(lambda row: str(row.priority or "·"))),
    CLIENT,
)
