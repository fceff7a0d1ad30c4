"""The engine in a terminal too small for panels: the few words that matter most."""

from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.state.sentences import cause, victims
from sarathictl.tui.renderables.header import Watch, draw_header
from sarathictl.tui.renderables.line import fit, line
from sarathictl.tui.renderables.look import Look


def draw_big_words(view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
    """Return at most `height` lines: link, TBT against its target, queues, KV cache, the last stall."""
    lines = [
        draw_header(view, watch, width, look),
        _tbt(view, look),
        line([(f" run {view.num_running}  wait {view.num_waiting}", look.strong)]),
        line([(f" KV {units.share(view.kv_share)}", look.strong)]),
    ]
    if view.stalls:
        stall = view.stalls[0]
        lines.append(line([(f" {victims(stall)} {units.duration(stall.worst_gap_s)}", look.over)]))
        lines.append(line([(f" ← {cause(stall)}", look.plain)]))
    return [fit(text, width) for text in lines[:height]]


def _tbt(view: EngineView, look: Look) -> Text:
    p99_s, target_s = view.tbt[0].p99_s, view.slo.tbt_s
    is_over = p99_s is not None and target_s is not None and p99_s > target_s
    mark = "" if target_s is None or p99_s is None else " ✘" if is_over else " ✔"
    target = f" ≤{units.duration(target_s)}" if target_s is not None else ""
    style = look.over if is_over else look.strong
    return line([(f" TBT p99 {units.duration(p99_s)}{mark}", style), (target, look.slo)])
