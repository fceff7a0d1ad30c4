"""Stopping a daemon for good, which takes its name."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from sarathictl.keymap import Place
from sarathictl.tui.bindings import bindings_at
from sarathictl.tui.messages import CommandAsked


class DrainScreen(ModalScreen[bool]):
    """Ends with True only when the daemon's name is typed; `command` does the same from a shell."""

    CSS_PATH = "dialog.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.DRAIN)

    def __init__(self, name: str, num_in_flight: int, command: str) -> None:
        super().__init__()
        self._daemon = name
        self._num_in_flight = num_in_flight
        self._command = command

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = "DRAIN"
            dialog.border_subtitle = "enter drains · ^y copies the command · esc leaves it running"
            yield Static(
                f"{self._daemon} takes nothing new, finishes what runs ({self._num_in_flight} now) and stops.\n"
                f"Type its name to say that you mean it.",
                markup=False,
            )
            yield Input(placeholder=self._daemon, compact=True)
            yield Static("", id="answer", markup=False)

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        if submitted.value.strip() == self._daemon:
            self.dismiss(True)
        else:
            self.query_one("#answer", Static).update(f"that is not its name: {self._daemon}")

    def action_copy(self) -> None:
        self.post_message(CommandAsked(self._command))
