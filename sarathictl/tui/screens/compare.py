"""The screen that compares: what was observed, and what would have been under other settings, at one moment."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from sarathictl.keymap import Place
from sarathictl.state.engine_view import EngineView
from sarathictl.tui.bindings import bindings_at
from sarathictl.tui.screens.view_screen import ViewScreen
from sarathictl.tui.widgets.compared_tapes import NamedTapePanel, WhatIfPanel
from sarathid.protocol.plan import Planned


class CompareScreen(ViewScreen):
    """Shows both tapes over the same time, and the figures of the whole recording."""

    CSS_PATH = "compare.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.TAPE)

    def __init__(self, planned: Planned) -> None:
        self._observed = NamedTapePanel("OBSERVED", id="observed")
        self._twin = NamedTapePanel("WHAT IF", id="twin")
        self._what_if = WhatIfPanel(planned, id="what-if")
        super().__init__(moving=(self._observed,), figures=(self._what_if,))

    def compose_panels(self) -> ComposeResult:
        yield self._observed
        yield self._twin
        yield self.change
        yield self._what_if

    def see_twin(self, view: EngineView) -> None:
        """Show what would have been at the moment that is shown."""
        assert self.latest is not None
        _, watch, look = self.latest
        self._twin.show(view, watch, look)

    def action_zoom(self, step: int) -> None:
        self._observed.zoom(step)
        self._twin.zoom(step)
