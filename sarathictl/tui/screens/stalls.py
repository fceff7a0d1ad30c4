"""The stalls screen: by cause, one by one, and the marked one as a sum."""

from textual.app import ComposeResult
from textual.containers import Container

from sarathictl.tui.screens.view_screen import ViewScreen
from sarathictl.tui.widgets.stall_causes import CausesPanel
from sarathictl.tui.widgets.stalls import StallsPanel, WhyPanel


class StallsScreen(ViewScreen):
    """Explains the marked stall at all sizes, the newest until one is marked."""

    CSS_PATH = "lists.tcss"
    command = "stalls"
    AUTO_FOCUS = "#feed"

    def __init__(self) -> None:
        self._causes = CausesPanel(id="causes")
        self._feed = StallsPanel(id="feed")
        self._sum = WhyPanel(id="sum")
        super().__init__(figures=(self._causes, self._feed, self._sum))

    def compose_panels(self) -> ComposeResult:
        yield self._causes
        with Container(id="pair"):
            yield self._feed
            yield self._sum
        yield self.change

    def show_figures(self) -> None:
        super().show_figures()
        self._sum.explain(self._feed.marked)

    def on_stalls_panel_marked(self) -> None:
        self._sum.explain(self._feed.marked)
