"""What the keys do and what the picture means."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from sarathictl.tui.renderables.line import ascii_only
from sarathictl.tui.renderables.look import Look

_HELP = """\
space  hold the picture; records are still taken in     + -  frames a second
x  time or one column an iteration      z Z  coarser, finer
tab  stalls or requests     ↑ ↓  mark one     enter  why a stall happened
b  token budget    p  policy    o  latency targets    K  cancel a request
e  save the picture as SVG      t  theme      q  quit

█ decode, always at the bottom: decodes go first    ▒ prefill, up to the budget
░ running now    ╌ budget    · nothing ran    ┄ TBT target
! some decode waited longer than the target; its width is how long

Each line of STALLS is one iteration that kept decodes waiting: the request
that waited longest, how many others, how long, and whose prefill it was."""


class HelpScreen(ModalScreen[None]):
    """One page of words."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q,question_mark", "dismiss", "close")]

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="dialog") as dialog:
            dialog.border_title = "HELP"
            dialog.border_subtitle = "esc closes"
            yield Static(ascii_only(_HELP) if self._look.is_ascii else _HELP, markup=False)
