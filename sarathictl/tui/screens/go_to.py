"""Going to a moment that somebody names."""

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from sarathictl.keymap import Place
from sarathictl.tui.bindings import bindings_at
from sarathid.errors import ConfigError


class GoToScreen(ModalScreen[float | None]):
    """Ends with what `read` makes of what is typed, which raises `ConfigError` where that is no moment."""

    CSS_PATH = "dialog.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.GO_TO)

    def __init__(self, span: str, read: Callable[[str], float]) -> None:
        """Say over which `span` there are records."""
        super().__init__()
        self._span = span
        self._read = read

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = "GO TO"
            dialog.border_subtitle = "enter goes there · esc stays"
            yield Static(self._span, markup=False)
            yield Input(placeholder="14:32:06, or -90s", compact=True)
            yield Static("", id="answer", markup=False)

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        try:
            self.dismiss(self._read(submitted.value))
        except ConfigError as error:
            self.query_one("#answer", Static).update(str(error))
