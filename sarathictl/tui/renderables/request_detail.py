"""One request in full: where it stands, its times between tokens as a chart, its stalls and those that it caused."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.style import Style
from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.state.request_life import RequestLife, life_of
from sarathictl.state.sentences import cause, stall_sentence
from sarathictl.tui.renderables.line import column_of, fit, line
from sarathictl.tui.renderables.look import Look
from sarathid.protocol.stats import StallEvent
from sarathid.tape.request_table import RequestRow

_LABEL_WIDTH = 9
_CHART_ROWS = 4


def draw_request(
    row: RequestRow, view: EngineView, width: int, height: int, look: Look, wall_offset_s: float
) -> list[Text]:
    """Return at most `height` lines, the most important first."""
    life = life_of(row.request_id, view)
    lines = [
        *_facts(row, view, look),
        *_chart(life.tbts_s[-(width - 1) :], view.slo.tbt_s, look),
        *_stalls(row, life, look, wall_offset_s),
    ]
    return [fit(text, width) for text in lines[:height]]


def _facts(row: RequestRow, view: EngineView, look: Look) -> Iterator[Text]:
    age_s = None if row.arrival_s is None else max(0.0, view.now_s - row.arrival_s)
    client = units.printable(row.client) or units.ABSENT
    yield _fact("state", f"{row.state.value}, {units.duration(age_s)} old, of {client}", look)
    prompt = units.ABSENT if row.num_prompt_tokens is None else f"{row.num_prompt_tokens} tokens"
    limit = "" if row.max_tokens is None else f" of at most {row.max_tokens}"
    yield _fact("prompt", f"{prompt}; {row.num_computed_tokens} computed", look)
    yield _fact("answer", f"{units.tokens(row.num_output_tokens)}{limit}", look)
    yield _fact("TTFT", units.duration(row.ttft_s), look, _over(row.ttft_s, view.slo.ttft_s, look))
    tbt = f"last {units.duration(row.tbt_last_s)}, worst {units.duration(row.tbt_max_s)}"
    yield _fact("TBT", tbt, look, _over(row.tbt_max_s, view.slo.tbt_s, look))
    if row.num_preemptions:
        yield _fact("redone", units.times(row.num_preemptions), look, look.preempted)


def _fact(label: str, words: str, look: Look, style: Style | None = None) -> Text:
    return line([(f" {label:<{_LABEL_WIDTH}}", look.faint), (words, style or look.plain)])


def _over(value_s: float | None, target_s: float | None, look: Look) -> Style:
    return look.over if value_s is not None and target_s is not None and value_s > target_s else look.plain


def _chart(tbts_s: Sequence[float], target_s: float | None, look: Look) -> Iterator[Text]:
    """Yield a heading and a column a token, newest at the right; full height is the target, or the worst above it."""
    if not tbts_s:
        return
    top_s = max(*tbts_s, target_s or 0.0)
    yield Text()
    yield line([(f" TBT of the last {len(tbts_s)} tokens, full height {units.duration(top_s)}", look.faint)])
    for row in reversed(range(_CHART_ROWS)):
        cells = (
            (column_of(tbt_s / top_s * _CHART_ROWS - row), _over(tbt_s, target_s, look) is look.over)
            for tbt_s in tbts_s
        )
        runs = groupby(cells, key=lambda cell: cell[1])
        pieces = [("".join(cell[0] for cell in run), look.over if is_over else look.decode) for is_over, run in runs]
        yield line([(" ", look.plain), *pieces])


def _stalls(row: RequestRow, life: RequestLife, look: Look, wall_offset_s: float) -> Iterator[Text]:
    for heading, stalls in (("waited", life.suffered), ("held others up", life.caused)):
        if stalls:
            yield Text()
            yield line([(f" {heading} {units.times(len(stalls))}, of late", look.strong)])
        for stall in stalls:
            words = stall_sentence(stall) if stalls is life.caused else f"← {cause(stall, is_terse=True)}"
            yield _stall(stall, _own_s(row, stall), words, look, wall_offset_s)


def _own_s(row: RequestRow, stall: StallEvent) -> float | None:
    return next((victim.tbt_s for victim in stall.victims if victim.request_id == row.request_id), None)


def _stall(stall: StallEvent, own_s: float | None, words: str, look: Look, wall_offset_s: float) -> Text:
    clock = units.clock_time(stall.time_s + wall_offset_s, has_tenths=True)
    length = "" if own_s is None else f"{units.duration(own_s)} "
    return line([(f" {clock} ", look.faint), (length, look.over), (words, look.plain)])
