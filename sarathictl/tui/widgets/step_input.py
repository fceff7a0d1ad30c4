"""A field whose values have neighbours: the arrow keys step through them."""

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input


class StepInput(Input):
    """Holds a token budget; `step` returns the one that is so many tiles and tokens further than a text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1, 0)", "one tile less", show=False),
        Binding("right", "step(1, 0)", "one tile more", show=False),
        Binding("shift+left", "step(0, -1)", "one token less", show=False),
        Binding("shift+right", "step(0, 1)", "one token more", show=False),
        Binding("a", "write('auto')", "auto", show=False, priority=True),
        Binding("p", "write('profiled')", "profiled", show=False, priority=True),
    ]

    def __init__(self, value: str, step: Callable[[str, int, int], str], *, id: str | None = None) -> None:
        super().__init__(value, id=id, compact=True, restrict=r"\d*|auto|profiled")
        self._step = step

    def action_step(self, tiles: int, tokens: int) -> None:
        self.action_write(self._step(self.value, tiles, tokens))

    def action_write(self, text: str) -> None:
        self.value = text
        self.cursor_position = len(text)
