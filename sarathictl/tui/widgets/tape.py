"""The iteration tape, with its axis and zoom."""

from rich.text import Text
from textual.reactive import reactive

from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.renderables.tape import DEFAULT_ZOOM_S, MARGIN_WIDTH, ZOOMS_S, draw_tape, tape_title
from sarathictl.tui.renderables.tape_columns import Axis
from sarathictl.tui.widgets.slices import SlicedPanel

NEWEST_WIDTH = 12  # cells: a second's columns, and some


class TapePanel(SlicedPanel):
    """Shows what each iteration ran, over time or one column an iteration.

    The newest columns and the margin are a slice of their own.
    """

    axis: reactive[Axis] = reactive(Axis.TIME)
    zoom_s: reactive[float] = reactive(DEFAULT_ZOOM_S)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__((None, NEWEST_WIDTH + MARGIN_WIDTH), id=id)

    def title_of(self, view: EngineView, look: Look) -> Text:
        del view
        return tape_title(self.axis, self.zoom_s, look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        return draw_tape(view, self.axis, self.zoom_s, width, height, look, watch.wall_offset_s)

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
