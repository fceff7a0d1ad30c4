"""Why one stall happened, over the live screen."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from sarathictl.keymap import Place
from sarathictl.tui.bindings import bindings_at
from sarathictl.tui.renderables.explanation import draw_explanation
from sarathictl.tui.renderables.look import Look
from sarathid.protocol.stats import StallCause, StallEvent

WIDTH = 74
_MARGIN = 10  # border, padding and what the dialog leaves of the screen at its sides


class ExplainScreen(ModalScreen[bool]):
    """Takes a gap apart into its causes; ends with True when somebody wants it prevented."""

    CSS_PATH = "dialog.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.STALL)

    def __init__(self, stall: StallEvent, look: Look) -> None:
        super().__init__()
        self._stall = stall
        self._look = look

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the fix from who may not change anything, and where no budget would have been one."""
        can_fix = self._stall.cause is StallCause.PREFILL and self.app.check_action("retune", ("budget",))
        return parameters != (True,) or can_fix

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="dialog") as dialog:
            dialog.border_title = f"WHY  iteration {self._stall.iteration}"
            fix = "f prevents it · " if self.check_action("dismiss", (True,)) else ""
            dialog.border_subtitle = f"{fix}esc closes"
            width = min(WIDTH, self.app.size.width - _MARGIN)
            lines = draw_explanation(self._stall, width, self._look)
            yield Static(Text("\n").join(lines))
