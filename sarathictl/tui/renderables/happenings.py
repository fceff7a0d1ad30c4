"""What happened, one line each, the newest first."""

from collections.abc import Sequence

from rich.style import Style
from rich.text import Text

from sarathictl import units
from sarathictl.state.happenings import Happening, Kind
from sarathictl.tui.renderables.line import fit, line
from sarathictl.tui.renderables.look import Look

_MARKS = {Kind.CHANGE: "→", Kind.STALL: "!", Kind.SLO: "✘", Kind.PREEMPT: "↯", Kind.ERROR: "✘", Kind.ENGINE: "●"}


def draw_happenings(
    happenings: Sequence[Happening], first: int, width: int, height: int, look: Look, wall_offset_s: float
) -> list[Text]:
    """Return at most `height` lines, from the happening at `first` on."""
    if not happenings:
        return [fit(line([(" nothing has happened yet", look.faint)]), width)]
    return [fit(_draw(happening, look, wall_offset_s), width) for happening in happenings[first : first + height]]


def _draw(happening: Happening, look: Look, wall_offset_s: float) -> Text:
    style = _style(happening.kind, look)
    return line(
        [
            (f" {units.clock_time(happening.time_s + wall_offset_s, has_tenths=True)}  ", look.faint),
            (f"{_MARKS[happening.kind]} {happening.kind:<8} ", style),
            (happening.words, look.plain),
        ]
    )


def _style(kind: Kind, look: Look) -> Style:
    match kind:
        case Kind.CHANGE:
            return look.strong
        case Kind.PREEMPT:
            return look.preempted
        case Kind.ENGINE:
            return look.faint
        case _:
            return look.over
