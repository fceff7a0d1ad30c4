"""The requests screen: all of them, sorted and filtered, and the marked one in full."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widgets import Input

from sarathictl.state.request_order import read_filter
from sarathictl.tui.screens.view_screen import ViewScreen
from sarathictl.tui.widgets.request_detail import RequestDetail
from sarathictl.tui.widgets.requests import RequestsPanel
from sarathid.errors import ConfigError
from sarathid.tape.request_table import RequestRow


class RequestsScreen(ViewScreen):
    """Marks the first request until somebody marks another."""

    CSS_PATH = "lists.tcss"
    AUTO_FOCUS = "#table"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "sort"),
        Binding("S", "reverse", "reverse", show=False),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("escape", "leave_filter", "table", show=False),
    ]

    def __init__(self) -> None:
        self._table = RequestsPanel(id="table")
        self._detail = RequestDetail(id="detail")
        self._filter = Input(placeholder="state:decode client:web stalls>2 worst>200ms", id="filter", compact=True)
        super().__init__(figures=(self._table, self._detail))

    def compose_panels(self) -> ComposeResult:
        yield self._filter
        with Container(id="pair"):
            yield self._table
            yield self._detail
        yield self.change

    @property
    def command(self) -> str:  # type: ignore[override]  # what the others always are, this one is at the moment
        return self._table.order.command

    @property
    def marked_request(self) -> RequestRow | None:
        return self._table.marked

    def show_figures(self) -> None:
        super().show_figures()
        self._table.mark_one()

    def action_sort(self) -> None:
        self._table.sort_by_next()

    def action_reverse(self) -> None:
        self._table.reverse()

    def action_filter(self) -> None:
        self.add_class("-filtering")
        self._filter.focus()

    def action_leave_filter(self) -> None:
        self._filter.value = ""
        self.on_input_submitted()

    def on_input_submitted(self) -> None:
        if _can_be_read(self._filter.value):
            self.set_class(bool(self._filter.value), "-filtering")
            self._table.filter_by(self._filter.value)
            self._table.mark_one()
            self._table.focus()

    def on_input_changed(self, changed: Input.Changed) -> None:
        self._filter.set_class(not _can_be_read(changed.value), "-unreadable")

    def on_requests_panel_marked(self, message: RequestsPanel.Marked) -> None:
        self._detail.detail(message.row)


def _can_be_read(text: str) -> bool:
    try:
        read_filter(text)
    except ConfigError:
        return False
    return True
