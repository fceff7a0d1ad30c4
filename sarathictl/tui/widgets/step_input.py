"""A field whose values have neighbours: the arrow keys step through them."""

from collections.abc import Callable
from typing import ClassVar

from textual.binding import BindingType
from textual.widgets import Input

from sarathictl.keymap import Place
from sarathictl.tui.bindings import bindings_at


class StepInput(Input):
    """Holds a token budget; `step` returns the one that is so many tiles and tokens further than a text."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.VALUE)

    def __init__(self, value: str, step: Callable[[str, int, int], str], *, id: str | None = None) -> None:
        super().__init__(value, id=id, compact=True, restrict=r"\d*|auto|profiled")
        self._step = step

    def action_step(self, tiles: int, tokens: int) -> None:
        self.action_write(self._step(self.value, tiles, tokens))

    def action_write(self, text: str) -> None:
        self.value = text
        self.cursor_position = len(text)
