"""Stalls by cause, as bars of the time that requests waited."""

from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.state.sentences import short_cause_name
from sarathictl.state.stall_causes import CauseTotal, totals_by_cause
from sarathictl.tui.renderables.line import bar, fit, line
from sarathictl.tui.renderables.look import Look

_BAR_CELLS = 16


def draw_causes(view: EngineView, width: int, height: int, look: Look) -> list[Text]:
    """Return at most `height` lines, the cause that cost most first."""
    totals = totals_by_cause(view.stalls)
    if not totals:
        return [fit(line([(" no stall yet", look.faint)]), width)]
    whole_s = sum(total.waited_s for total in totals)
    name_width = max(len(_name(total)) for total in totals)
    return [fit(_draw(total, total.waited_s / whole_s, name_width, look), width) for total in totals[:height]]


def _name(total: CauseTotal) -> str:
    return short_cause_name(total.cause)


def _draw(total: CauseTotal, share: float, name_width: int, look: Look) -> Text:
    return line(
        [
            (f" {_name(total):<{name_width}}  ", look.plain),
            (bar(share, _BAR_CELLS), look.over),
            (f" {units.share(share):>5}", look.strong),
            (f"  {units.number_of('stall', total.num_stalls)}, worst {units.duration(total.worst_s)}", look.plain),
            (f", {units.number_of('wait', total.num_waits)} of {units.duration(total.waited_s)} in all", look.faint),
        ]
    )
