"""What the keys do and what the picture means."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from sarathictl.keymap import Place
from sarathictl.tui.bindings import bindings_at
from sarathictl.tui.renderables.help import draw_help
from sarathictl.tui.renderables.look import Look

WIDTH = 108
_MARGIN = 14  # border, padding, a scroll bar and what the dialog leaves of the screen at its sides


class HelpScreen(ModalScreen[None]):
    """One page of words."""

    CSS_PATH = "dialog.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.HELP)

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="dialog", classes="page") as dialog:
            dialog.border_title = "HELP"
            dialog.border_subtitle = "esc closes"
            lines = draw_help(min(WIDTH, self.app.size.width - _MARGIN), self._look)
            yield Static(Text("\n").join(lines))
