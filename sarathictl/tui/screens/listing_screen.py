"""What the screens with a list of requests share: it is sorted and filtered."""

from textual.widgets import Input

from sarathictl.state.request_order import read_filter
from sarathictl.tui.screens.view_screen import ViewScreen
from sarathictl.tui.widgets.panel import Panel
from sarathictl.tui.widgets.requests import RequestsPanel
from sarathid.errors import ConfigError
from sarathid.tape.request_table import RequestRow


class ListingScreen(ViewScreen):
    """Shows a table of requests among other panels, and a line for its filter while one is asked for or in force."""

    def __init__(self, table_id: str, *, moving: tuple[Panel, ...] = (), figures: tuple[Panel, ...] = ()) -> None:
        self.table = RequestsPanel(id=table_id)
        self.filter = Input(placeholder="state:decode client:web stalls>2 worst>200ms", id="filter", compact=True)
        super().__init__(moving=moving, figures=(*figures, self.table))

    @property
    def marked_request(self) -> RequestRow | None:
        return self.table.marked

    def filter_by(self, text: str) -> None:
        """Show only what passes a filter that can be read."""
        self.filter.value = text
        self.set_class(bool(text), "-filtering")
        self.table.filter_by(text)

    def see_followed(self, request_ids: frozenset[int]) -> None:
        self.table.follow(request_ids)

    def action_sort(self) -> None:
        self.table.sort_by_next()

    def action_reverse(self) -> None:
        self.table.reverse()

    def action_filter(self) -> None:
        self.add_class("-filtering")
        self.filter.focus()

    def action_leave_filter(self) -> None:
        self.filter.value = ""
        self.on_input_submitted()

    def on_input_submitted(self) -> None:
        if _can_be_read(self.filter.value):
            self.filter_by(self.filter.value)
            self.table.focus()

    def on_input_changed(self, changed: Input.Changed) -> None:
        self.filter.set_class(not _can_be_read(changed.value), "-unreadable")


def _can_be_read(text: str) -> bool:
    try:
        read_filter(text)
    except ConfigError:
        return False
    return True
