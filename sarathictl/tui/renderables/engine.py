"""The engine in figures: queues, KV cache, latencies, and what it runs at this moment."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.state.gpus import gpu_words
from sarathictl.state.retuning import budget_in_words
from sarathictl.state.sentences import running_words
from sarathictl.tui.renderables.line import Piece, bar, fit, line
from sarathictl.tui.renderables.look import Look
from sarathid.protocol.gpus import GPUStatus
from sarathid.protocol.stats import Blocker, SettingsChanged

MIN_LINES_FOR_FIGURES = 4

_BLOCKERS = {
    Blocker.SEQUENCES: "all places",
    Blocker.BLOCKS: "KV cache",
    Blocker.PREEMPTION: "preempted",
    Blocker.BUDGET: "budget",
    Blocker.HOLD: "hold",
}

_Figures: TypeAlias = tuple[tuple[str, float | None], ...]


def draw_engine(view: EngineView, width: int, height: int, look: Look, wall_offset_s: float) -> list[Text]:
    """Return at most `height` lines, the most important first."""
    if height < MIN_LINES_FOR_FIGURES:
        flat = Text.assemble(" ", _queues(view, look), " │ ", _kv_cache(view, width // 2, look))
        return [fit(text, width) for text in (flat, Text.assemble(" ", line(_now(view, look))))[:height]]
    lines = [
        _queues(view, look),
        _kv_cache(view, width, look),
        line([("TBT  ", look.plain), *_figures(_tbt(view), view.slo.tbt_s, look)]),
        line([("TTFT ", look.plain), *_figures(_ttft(view), view.slo.ttft_s, look)]),
        line(_now(view, look)),
        *([line(_gpus(view.gpus, look))] if view.gpus else ()),
        *(line(_change(change, look, wall_offset_s)) for change in view.changes[:1]),
    ]
    return [fit(Text.assemble(" ", text), width) for text in lines[:height]]


def _queues(view: EngineView, look: Look) -> Text:
    preempted = look.preempted if view.num_preempted else look.faint
    mark = "↯" if view.num_preempted else ""
    return line(
        [
            ("run ", look.plain),
            (str(view.num_running), look.strong),
            ("  wait ", look.plain),
            (str(view.num_waiting), look.strong),
            (_waiting(view), look.plain),
            (f"  {mark}preempted ", preempted),
            (str(view.num_preempted), preempted),
        ]
    )


def _waiting(view: EngineView) -> str:
    """Return for how long the oldest request has waited, and what for; nothing where none waits."""
    if view.longest_wait_s is None:
        return ""
    reason = "" if view.blocked_by is None else f" ({_BLOCKERS[view.blocked_by]})"
    return f" up to {units.short_duration(view.longest_wait_s)}{reason}"


def _kv_cache(view: EngineView, width: int, look: Look) -> Text:
    words = f" {units.share(view.kv_share)}{_growth(view)}"
    num_cells = max(4, min(24, width - len("KV   ") - 1 - len(words)))
    filled = bar(view.kv_share, num_cells)
    return line([("KV   ", look.plain), (filled.rstrip(), look.kv), *_rest_of(filled, look), (words, look.plain)])


def _rest_of(filled: str, look: Look) -> Iterator[Piece]:
    yield "·" * (len(filled) - len(filled.rstrip())), look.faint


def _growth(view: EngineView) -> str:
    return "" if view.kv_full_in_s is None else f", full in {units.duration(view.kv_full_in_s)}"


def _tbt(view: EngineView) -> _Figures:
    seen = view.tbt[1]
    return (("p50", seen.p50_s), ("p90", seen.p90_s), ("p99", seen.p99_s), ("max", seen.max_s))


def _ttft(view: EngineView) -> _Figures:
    return (("p50", view.ttft.p50_s), ("p95", view.ttft.p95_s), ("max", view.ttft.max_s))


def _figures(named: _Figures, target_s: float | None, look: Look) -> Iterator[Piece]:
    for name, value_s in named:
        is_over = target_s is not None and value_s is not None and value_s > target_s
        yield f"{name} ", look.faint
        yield f"{units.short_duration(value_s)} ", look.over if is_over else look.strong


def _now(view: EngineView, look: Look) -> Iterator[Piece]:
    if view.running is not None:
        yield "now  ", look.plain
        yield running_words(view.running), look.plain
        yield f" for {units.duration(max(0.0, view.now_s - view.running.start_s))}", look.strong
    elif view.last_end_s is None:
        yield "no iteration yet", look.faint
    elif view.num_running + view.num_waiting == 0:
        yield f"idle for {units.duration(max(0.0, view.now_s - view.last_end_s))}", look.faint
    else:
        yield f"iteration {view.samples[-1].sequence_number}", look.faint


def _gpus(gpus: Sequence[GPUStatus], look: Look) -> Iterator[Piece]:
    yield "     ", look.plain
    yield "  ".join(map(gpu_words, gpus)), look.plain


def _change(change: SettingsChanged, look: Look, wall_offset_s: float) -> Iterator[Piece]:
    clock = units.clock_time(change.time_s + wall_offset_s)
    yield f"r{change.revision}   ", look.plain
    yield f"{clock} budget {budget_in_words(change)}, {change.policy}", look.faint
    if change.changed_by:
        yield f" by {units.printable(change.changed_by)}", look.faint
