"""One whole picture as text, for a pipe, a dumb terminal or a log."""

from collections.abc import Iterator

from rich.text import Text

from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.engine import draw_engine
from sarathictl.tui.renderables.header import Watch, draw_header, draw_targets
from sarathictl.tui.renderables.line import fit, title
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.renderables.requests import draw_requests, requests_title
from sarathictl.tui.renderables.stalls import draw_stalls, stalls_title
from sarathictl.tui.renderables.tape import DEFAULT_ZOOM_S, draw_tape, tape_title
from sarathictl.tui.renderables.tape_columns import Axis

_ENGINE_LINES = 6
_STALL_LINES = 5


def draw_frame(view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
    """Return header, tape, stalls, engine and as many requests as `height` leaves room for."""
    num_tape_rows = 16 if height >= 36 else 8
    tape = draw_tape(view, Axis.TIME, DEFAULT_ZOOM_S, width, num_tape_rows, look, watch.wall_offset_s)
    stalls = draw_stalls(view, None, width, _STALL_LINES, look, watch.wall_offset_s)
    engine = draw_engine(view, width, _ENGINE_LINES, look, watch.wall_offset_s)
    lines = [
        draw_header(view, watch, width, look),
        draw_targets(view, watch, width, look),
        *_panel(tape_title(Axis.TIME, DEFAULT_ZOOM_S, look), tape, width, look),
        *_panel(stalls_title(view, look), stalls, width, look),
        *_panel(title("ENGINE", "", look), engine, width, look),
    ]
    num_rows = max(2, height - len(lines) - 1)
    return [*lines, *_panel(requests_title(view, look), draw_requests(view, None, width, num_rows, look), width, look)]


def _panel(heading: Text, lines: list[Text], width: int, look: Look) -> Iterator[Text]:
    rest = "─" * max(0, width - heading.cell_len - 3)
    yield fit(Text.assemble(("─ ", look.faint), heading, (f" {rest}", look.faint)), width)
    yield from lines
