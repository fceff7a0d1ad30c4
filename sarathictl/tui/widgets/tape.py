"""The iteration tape, with its axis and zoom."""

from rich.text import Text
from textual.app import ComposeResult
from textual.reactive import reactive

from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.renderables.tape import DEFAULT_ZOOM_S, MARGIN_WIDTH, ZOOMS_S, Tape, tape_title
from sarathictl.tui.renderables.tape_columns import Axis
from sarathictl.tui.widgets.lines import Lines
from sarathictl.tui.widgets.panel import Panel

NEWEST_WIDTH = 12  # cells: a second's columns, and some


class TapePanel(Panel):
    """Shows what each iteration ran, over time or one column an iteration.

    The newest columns and the margin are a widget of their own: Textual sends a line that changed from the left edge of
    its widget on.
    """

    axis: reactive[Axis] = reactive(Axis.TIME)
    zoom_s: reactive[float] = reactive(DEFAULT_ZOOM_S)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._tape = Tape(NEWEST_WIDTH)
        self._newest = Lines()
        self._newest.styles.dock = "right"
        self._newest.styles.width = NEWEST_WIDTH + MARGIN_WIDTH

    def compose(self) -> ComposeResult:
        yield self._newest

    def title_of(self, view: EngineView, look: Look) -> Text:
        del view
        return tape_title(self.axis, self.zoom_s, look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        still, newest = self._tape.draw(view, self.axis, self.zoom_s, width, height, look, watch.wall_offset_s)
        self._newest.put(newest)
        return still

    def switch_axis(self) -> None:
        """Change between time and iterations."""
        self.axis = Axis.ITERATION if self.axis is Axis.TIME else Axis.TIME

    def zoom(self, step: int) -> None:
        """Go `step` zooms coarser (finer below zero), round the ends."""
        self.zoom_s = ZOOMS_S[(ZOOMS_S.index(self.zoom_s) + step) % len(ZOOMS_S)]

    def watch_axis(self) -> None:
        self.repaint()

    def watch_zoom_s(self) -> None:
        self.repaint()
