"""The engine in a terminal too small for panels: the few words that matter most, the first of them large."""

from collections.abc import Iterator

from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.state.sentences import cause, victims
from sarathictl.tui.renderables.digits import tall
from sarathictl.tui.renderables.header import Watch, draw_header
from sarathictl.tui.renderables.line import fit, line
from sarathictl.tui.renderables.look import Look

MIN_LINES_FOR_TALL = 9


def draw_big_words(view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
    """Return at most `height` lines: link, TBT against its target, queues, KV cache, the last stall."""
    lines = [
        draw_header(view, watch, width, look),
        *_tbt(view, look, is_tall=height >= MIN_LINES_FOR_TALL and not look.is_ascii),
        line(
            [
                (" run ", look.plain),
                (str(view.num_running), look.strong),
                ("  wait ", look.plain),
                (str(view.num_waiting), look.strong),
                ("  KV ", look.plain),
                (units.share(view.kv_share), look.strong),
            ]
        ),
        *_last_stall(view, look),
    ]
    return [fit(text, width) for text in lines[:height]]


def _tbt(view: EngineView, look: Look, *, is_tall: bool) -> Iterator[Text]:
    p99_s, target_s = view.tbt[0].p99_s, view.slo.tbt_s
    is_over = p99_s is not None and target_s is not None and p99_s > target_s
    style = look.over if is_over else look.strong
    mark = "" if target_s is None or p99_s is None else "✘" if is_over else "✔"
    target = f"  ≤ {units.duration(target_s)}" if target_s is not None else ""
    number, _, unit = units.duration(p99_s).partition(" ")
    if not is_tall or not set(number) <= set("0123456789.—") or " " in unit:
        yield line([(f" TBT p99 {units.duration(p99_s)} {mark}", style), (target, look.slo)])
        return
    yield Text()
    beside = ("TBT p99", f"{unit} {mark}", target.strip())
    for row, words, look_of in zip(tall(number), beside, (look.faint, style, look.slo), strict=True):
        yield line([(f"  {row}  ", style), (words, look_of)])
    yield Text()


def _last_stall(view: EngineView, look: Look) -> Iterator[Text]:
    if view.stalls:
        stall = view.stalls[0]
        age_s = float(round(max(0.0, view.now_s - stall.time_s)))
        yield line([(f" {victims(stall)} stalled ", look.plain), (units.duration(stall.worst_gap_s), look.over)])
        yield line([(f" ← {cause(stall)}", look.plain)])
        yield line([(f" {units.duration(age_s)} ago" if age_s else " just now", look.faint)])
