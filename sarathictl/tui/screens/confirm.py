"""A question before something that cannot be undone."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from sarathictl.keymap import Place
from sarathictl.tui.bindings import bindings_at
from sarathictl.tui.messages import CommandAsked


class ConfirmScreen(ModalScreen[bool]):
    """Ends with True only when `y` is pressed; `command` does the same from a shell."""

    CSS_PATH = "dialog.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.QUESTION)

    def __init__(self, question: str, command: str) -> None:
        super().__init__()
        self._question = question
        self._command = command

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = "SURE?"
            dialog.border_subtitle = "y yes · n no · ^y copies the command"
            yield Static(self._question, markup=False)

    def action_copy(self) -> None:
        self.post_message(CommandAsked(self._command))

    def action_answer(self, is_yes: bool) -> None:
        self.dismiss(is_yes)
