"""The live screen: tape, stalls, engine and requests, whatever the size of the terminal."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Footer

from sarathictl.client.stats_stream import LinkState
from sarathictl.state.engine_view import EngineView
from sarathictl.state.request_table import RequestRow
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.screens.explain import ExplainScreen
from sarathictl.tui.widgets.bars import BigWords, HeaderBar
from sarathictl.tui.widgets.change import ChangeBar
from sarathictl.tui.widgets.engine import EnginePanel
from sarathictl.tui.widgets.panel import Panel
from sarathictl.tui.widgets.requests import RequestsPanel
from sarathictl.tui.widgets.stalls import StallsPanel, WhyPanel
from sarathictl.tui.widgets.tape import TapePanel
from sarathid.protocol.revisions import Revision

FIGURES_EVERY_S = 1.0


class LiveScreen(Screen[None]):
    """Shows views as they come: the tape at every one, figures once a second so that digits can be read."""

    AUTO_FOCUS = "#stalls"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "switch_axis", "axis", show=False),
        Binding("z", "zoom(1)", "zoom", show=False),
        Binding("Z", "zoom(-1)", "zoom in", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._header = HeaderBar(id="header")
        self._big_words = BigWords(id="big-words")
        self._tape = TapePanel(id="tape")
        self._stalls = StallsPanel(id="stalls")
        self._why = WhyPanel(id="why")
        self._engine = EnginePanel(id="engine")
        self._change = ChangeBar(id="change")
        self._requests = RequestsPanel(id="requests")
        self._latest: tuple[EngineView, Watch, Look] | None = None
        self._figures_s: float | None = None

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._big_words
        with Container(id="panels"):
            yield self._tape
            with Container(id="middle"):
                yield self._stalls
                yield self._why
                yield self._engine
            yield self._change
            yield self._requests
        yield Footer(compact=True, show_command_palette=False)

    @property
    def marked_request(self) -> RequestRow | None:
        """The request that is marked in the table."""
        return self._requests.marked

    def see_history(self, history: Sequence[Revision]) -> None:
        """Show how the newest revision stands, once anything was changed."""
        self._change.history = history
        self.set_class(len(history) > 1, "-changed")

    def show(self, view: EngineView, watch: Watch, look: Look, *, is_urgent: bool = False) -> None:
        """Show a view; figures wait for their second unless the change `is_urgent`."""
        self._latest = (view, watch, look)
        if is_urgent or self._figures_s is None or watch.now_s - self._figures_s >= FIGURES_EVERY_S:
            self._show_everywhere()
        else:
            self._show_in(self._header, self._tape, self._change)

    def action_switch_axis(self) -> None:
        self._tape.switch_axis()

    def action_zoom(self, step: int) -> None:
        self._tape.zoom(step)

    def on_stalls_panel_explained(self, message: StallsPanel.Explained) -> None:
        def act(is_to_fix: bool | None) -> None:
            if is_to_fix:
                self.post_message(StallsPanel.FixAsked(message.stall))

        if self._latest is not None:
            self.app.push_screen(ExplainScreen(message.stall, self._latest[2]), act)

    def on_stalls_panel_marked(self) -> None:
        self._explain_marked()

    def _show_everywhere(self) -> None:
        assert self._latest is not None
        watch = self._latest[1]
        self._figures_s = watch.now_s
        self.set_class(watch.link.state is not LinkState.LIVE, "-cut-off")
        self._show_in(self._header, self._big_words, self._tape, self._stalls, self._why)
        self._show_in(self._engine, self._change, self._requests)
        self._explain_marked()

    def _show_in(self, *panels: Panel) -> None:
        assert self._latest is not None
        view, watch, look = self._latest
        for panel in panels:
            panel.show(view, watch, look)

    def _explain_marked(self) -> None:
        self._why.explain(self._stalls.marked)
