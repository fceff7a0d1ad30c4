"""The stall feed: one sentence an iteration that kept a decode waiting."""

from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.state.sentences import cause, running_words, victims
from sarathictl.tui.renderables.line import fit, line, title
from sarathictl.tui.renderables.look import Look
from sarathid.protocol.stats import StallEvent

MIN_WIDTH_FOR_CLOCK = 60
MIN_WIDTH_FOR_WORDS = 90


def draw_stalls(
    view: EngineView, selected: int | None, width: int, height: int, look: Look, wall_offset_s: float
) -> list[Text]:
    """Return at most `height` lines: the stall that lasts still, then the others, newest first.

    `selected` counts from the newest stall that is over; None marks none.
    """
    lines = _draw_open_stall(view, look)
    if not view.stalls and not lines:
        return [fit(line([(f" {_nothing(view)}", look.faint)]), width)]
    num_rows = height - len(lines)
    first = _num_above(selected, num_rows)
    for index, stall in enumerate(view.stalls[first : first + num_rows], first):
        lines.append(_draw_stall(stall, index == selected, width, look, wall_offset_s))
    return [fit(text, width) for text in lines[:height]]


def stalls_title(view: EngineView, look: Look, selected: int | None = None, height: int = 0) -> Text:
    """Return what the panel shows, how many there were, and how many newer ones the marked one keeps out of it."""
    target = f"gaps above {units.duration(view.slo.tbt_s)}" if view.slo.tbt_s else "no TBT target"
    num_above = _num_above(selected, height)
    newer = f" · {num_above} newer, esc" if num_above else ""
    return title("STALLS", f"{target} · {view.num_recent_stalls} in 1 m{newer}", look)


def _num_above(selected: int | None, num_rows: int) -> int:
    """Return how many of the newest stalls are left out such that the marked one is among so many rows."""
    return 0 if selected is None else max(0, selected - num_rows + 1)


def _draw_open_stall(view: EngineView, look: Look) -> list[Text]:
    """Return a line on the decodes that wait longer than the target at this moment, none if none do."""
    target_s, gap_s = view.slo.tbt_s, view.open_gap_s
    if view.running is None or target_s is None or gap_s is None or gap_s <= target_s:
        return []
    waiting = [request_id for request_id, since_s in view.waiting_since_s.items() if view.now_s - since_s > target_s]
    others = f" +{len(waiting) - 1}" if len(waiting) > 1 else ""
    pieces = [
        (" now ", look.notice),
        (f" {waiting[0]}{others} waiting ", look.plain),
        (units.duration(gap_s), look.over),
        (f" ← {running_words(view.running)}", look.plain),
    ]
    return [line(pieces)]


def _nothing(view: EngineView) -> str:
    if view.slo.tbt_s is None:
        return "without a TBT target nothing counts as a stall; o sets one"
    return f"no gap above {units.duration(view.slo.tbt_s)} yet"


def _draw_stall(stall: StallEvent, is_selected: bool, width: int, look: Look, wall_offset_s: float) -> Text:
    clock = units.clock_time(stall.time_s + wall_offset_s, has_tenths=True)
    length = units.duration(stall.worst_gap_s)
    is_terse = width < MIN_WIDTH_FOR_WORDS
    who = victims(stall).removesuffix(" more") if is_terse else victims(stall)
    pieces = [
        ("▶" if is_selected else " ", look.strong),
        (f"{clock if width >= MIN_WIDTH_FOR_CLOCK else clock[6:]} ", look.faint),
        (f"{who} ", look.plain),
        ("" if is_terse else "stalled ", look.faint),
        (length, look.over),
        (f" ← {cause(stall, is_terse=is_terse)}", look.plain),
    ]
    text = fit(line(pieces), width)
    if is_selected:
        text.stylize_before(look.selected)
    return text
