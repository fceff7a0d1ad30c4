"""The requests screen: all of them, sorted and filtered, and the marked one in full."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from sarathictl.keymap import Place
from sarathictl.tui.bindings import bindings_at
from sarathictl.tui.screens.listing_screen import ListingScreen
from sarathictl.tui.widgets.request_detail import RequestDetail
from sarathictl.tui.widgets.requests import RequestsPanel


class RequestsScreen(ListingScreen):
    """Marks the first request until somebody marks another."""

    CSS_PATH = "lists.tcss"
    AUTO_FOCUS = "#table"
    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.REQUESTS)

    def __init__(self) -> None:
        self._detail = RequestDetail(id="detail")
        super().__init__("table", figures=(self._detail,))

    def compose_panels(self) -> ComposeResult:
        yield self.filter
        with Container(id="pair"):
            yield self.table
            yield self._detail
        yield self.change

    @property
    def command(self) -> str:  # type: ignore[override]  # what the others always are, this one is at the moment
        return self.table.order.command

    def show_figures(self) -> None:
        super().show_figures()
        self.table.mark_one()

    def filter_by(self, text: str) -> None:
        super().filter_by(text)
        self.table.mark_one()

    def on_requests_panel_marked(self, message: RequestsPanel.Marked) -> None:
        self._detail.detail(message.row)
