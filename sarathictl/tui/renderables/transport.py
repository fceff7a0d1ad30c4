"""The transport bar: where in the log the moment that is shown lies, with its stalls, and how it moves."""

from rich.text import Text

from sarathictl import units
from sarathictl.state.playhead import Transport
from sarathictl.tui.renderables.line import Piece, fit, line
from sarathictl.tui.renderables.look import Look


def draw_transport(transport: Transport, width: int, look: Look, wall_offset_s: float) -> Text:
    """Return one line: speed, the moment, and the whole log as a bar with `!` at its stalls."""
    sign = "▶" if transport.is_playing else "‖"
    clock = units.clock_time(transport.time_s + wall_offset_s, has_tenths=True)
    left: list[Piece] = [(f" {sign} {transport.speed:g}x ", look.notice), (f" {clock} ", look.strong)]
    right: list[Piece] = [(f" {_from_start(transport)} ", look.plain), (_loop_words(transport), look.slo)]
    room = width - sum(len(words) for words, _ in (*left, *right))
    return fit(line([*left, *_bar(transport, max(0, room), look), *right]), width)


def _from_start(transport: Transport) -> str:
    return (
        f"{units.duration(transport.time_s - transport.start_s)} of "
        f"{units.duration(transport.end_s - transport.start_s)}"
    )


def _loop_words(transport: Transport) -> str:
    return ("", "A ", "A–B ")[len(transport.loop)]


def _bar(transport: Transport, width: int, look: Look) -> list[Piece]:
    """Return one piece a cell: what was seen, what is to come, stalls, the ends of a loop and the head."""
    span_s = max(transport.end_s - transport.start_s, 1e-6)

    def cell_of(time_s: float) -> int:
        return min(max(int((time_s - transport.start_s) / span_s * width), 0), width - 1)

    if not width:
        return []
    head = cell_of(transport.time_s)
    cells = [("━", look.plain) if cell < head else ("─", look.faint) for cell in range(width)]
    for stall_s in transport.stalls_s:
        cells[cell_of(stall_s)] = ("!", look.over)
    for mark, time_s in zip("AB", transport.loop, strict=False):
        cells[cell_of(time_s)] = (mark, look.slo)
    cells[head] = ("●", look.strong)
    return cells
