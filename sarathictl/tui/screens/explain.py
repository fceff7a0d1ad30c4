"""Why one stall happened, over the live screen."""

from collections.abc import Iterator
from enum import StrEnum
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
from sarathid.protocol.stats import StallEvent

WIDTH = 74
_MARGIN = 10  # border, padding and what the dialog leaves of the screen at its sides


class Wish(StrEnum):
    """What somebody wants of a stall that is explained."""

    FIX = "fix"
    CAUSE = "cause"
    MOMENT = "moment"


class ExplainScreen(ModalScreen[Wish | None]):
    """Takes a gap apart into its causes; ends with what is wanted then, if anything is."""

    CSS_PATH = "dialog.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.STALL)

    def __init__(self, stall: StallEvent, look: Look) -> None:
        super().__init__()
        self._stall = stall
        self._look = look

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the fix from who may not change anything and where no budget would have been one, as what is unknown."""
        can_fix = self._stall.preventing_budget is not None and self.app.check_action("retune", ("budget",))
        can_ask = self._stall.chunk is not None and self.app.check_action("why", ())
        return {"fix": can_fix, "cause": can_ask}.get(str(*parameters), True) if action == "wish" else True

    def action_wish(self, wish: str) -> None:
        self.dismiss(Wish(wish))

    def _doable(self) -> Iterator[str]:
        if self.check_action("wish", (Wish.FIX,)):
            yield "f prevents it"
        if self._stall.chunk is not None and self.check_action("wish", (Wish.CAUSE,)):
            yield f"r request {self._stall.chunk.request_id}"
        yield "t the tape then"
        yield "esc closes"

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="dialog") as dialog:
            dialog.border_title = f"WHY  iteration {self._stall.iteration}"
            dialog.border_subtitle = " · ".join(self._doable())
            width = min(WIDTH, self.app.size.width - _MARGIN)
            lines = draw_explanation(self._stall, width, self._look)
            yield Static(Text("\n").join(lines))
