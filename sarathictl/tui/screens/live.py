"""The live screen: tape, stalls, engine and requests, whatever the size of the terminal."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from sarathictl.keymap import Place
from sarathictl.tui.bindings import bindings_at
from sarathictl.tui.screens.listing_screen import ListingScreen
from sarathictl.tui.widgets.engine import EnginePanel
from sarathictl.tui.widgets.stalls import StallsPanel, WhyPanel
from sarathictl.tui.widgets.tape import TapePanel


class LiveScreen(ListingScreen):
    """Shows what runs now, and explains the marked stall where there is room for it."""

    AUTO_FOCUS = "#stalls"
    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.LIVE, Place.TAPE, Place.REQUESTS)

    def __init__(self) -> None:
        self._tape = TapePanel(id="tape")
        self._stalls = StallsPanel(id="stalls")
        self._why = WhyPanel(id="why")
        self._engine = EnginePanel(id="engine")
        super().__init__("requests", moving=(self._tape,), figures=(self._stalls, self._why, self._engine))

    def compose_panels(self) -> ComposeResult:
        yield self._tape
        with Container(id="middle"):
            yield self._stalls
            yield self._why
            yield self._engine
        yield self.change
        yield self.filter
        yield self.table

    def show_figures(self) -> None:
        super().show_figures()
        self._why.explain(self._stalls.marked)

    def action_switch_axis(self) -> None:
        self._tape.switch_axis()

    def action_zoom(self, step: int) -> None:
        self._tape.zoom(step)

    def on_stalls_panel_marked(self) -> None:
        self._why.explain(self._stalls.marked)
