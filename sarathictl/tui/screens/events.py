"""The events screen: what happened, the newest first."""

from textual.app import ComposeResult

from sarathictl.tui.screens.view_screen import ViewScreen
from sarathictl.tui.widgets.happenings import HappeningsPanel


class EventsScreen(ViewScreen):
    """Shows changes, stalls, overloads, preemptions, failures and the engine's life as one list."""

    CSS_PATH = "lists.tcss"
    command = "events"
    AUTO_FOCUS = "#happenings"

    def __init__(self) -> None:
        self._happenings = HappeningsPanel(id="happenings")
        super().__init__(figures=(self._happenings,))

    def compose_panels(self) -> ComposeResult:
        yield self._happenings
        yield self.change
