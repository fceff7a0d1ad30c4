"""The fleet as a table: a line a daemon, and the median to hold each against."""

from collections.abc import Sequence

from rich.style import Style
from rich.text import Text

from sarathictl import units
from sarathictl.client.fleet import Answer
from sarathictl.state.fleet import Cell, Figure, cell_of, figures_for, median_words
from sarathictl.tui.renderables.line import Piece, fit, line
from sarathictl.tui.renderables.look import Look
from sarathid.protocol.control import DaemonState, Status

_NAME_WIDTH = 16
_STATE_WIDTH = 11
_MIN_ROOM_FOR_MODEL = 14


def draw_fleet(answers: Sequence[Answer], width: int, height: int, look: Look) -> list[Text]:
    """Return at most `height` lines: headings, daemons, and their median where there are several."""
    if not answers:
        return [fit(line([(" asking the daemons", look.faint)]), width)]
    figures = figures_for(width - 1 - _NAME_WIDTH - _STATE_WIDTH)
    headings = "".join(figure.heading.rjust(figure.width) for figure in figures)
    has_model = width - _NAME_WIDTH - _STATE_WIDTH - len(headings) >= _MIN_ROOM_FOR_MODEL
    model = "  MODEL" if has_model else ""
    lines = [line([(f" {'NAME':<{_NAME_WIDTH}}{'STATE':<{_STATE_WIDTH}}{headings}{model}", look.faint)])]
    statuses = [answer.status for answer in answers if answer.status is not None]
    for answer in answers:
        row = _row(answer, statuses, figures, look)
        lines.append(line(row if has_model or answer.status is None else row[:-1]))
    if len(statuses) > 1:
        middle = "".join(median_words(figure, statuses).rjust(figure.width) for figure in figures)
        lines.append(line([(f" {'median':<{_NAME_WIDTH + _STATE_WIDTH}}{middle}", look.faint)]))
    return [fit(text, width) for text in lines[:height]]


def _row(answer: Answer, statuses: Sequence[Status], figures: Sequence[Figure], look: Look) -> list[Piece]:
    name = (f" {answer.name[: _NAME_WIDTH - 1]:<{_NAME_WIDTH}}", look.strong)
    if answer.status is None:
        return [name, ("✘ ", look.over), (units.printable(answer.failure), look.over)]
    status = answer.status
    others = [other for other in statuses if other is not status]
    cells = ((cell_of(figure, status, others), figure.width) for figure in figures)
    is_ready = status.state is DaemonState.READY
    return [
        name,
        (f"{'● ' if is_ready else '◌ '}{status.state:<{_STATE_WIDTH - 2}}", look.plain if is_ready else look.preempted),
        *((_marked(cell).rjust(width), _style(cell, look)) for cell, width in cells),
        (f"  {units.printable(status.engine.model) if status.engine else units.ABSENT}", look.faint),
    ]


def _marked(cell: Cell) -> str:
    return f"▲{cell.words}" if cell.is_odd else cell.words


def _style(cell: Cell, look: Look) -> Style:
    return look.over if cell.is_bad else look.preempted if cell.is_odd else look.plain
