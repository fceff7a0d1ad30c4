"""What the keys do and what the picture means."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from sarathictl.ascii_text import ascii_only
from sarathictl.tui.renderables.look import Look

_HELP = """\
1 to 7   live, requests, stalls, latency, tuning, fleet, events
8        a replay beside what other settings would have given
space    hold the picture; records are still taken in
← → home end   an iteration (⇧: a second), the oldest, now
n N { }  to the next stall or the one before, the same with changes
r        record to a file      < > a  speed and loop of a replay
x        time, or one column an iteration
z Z      coarser, finer
tab ↑ ↓  mark a stall or a request      enter  why it stalled or waits
f        the change that would have prevented the marked stall
s S /    sort, turn round and filter the requests (screen 2)
w        why the budget is what it is
b p o    change token budget, policy, latency targets
k u      keep the newest change, undo it
K        cancel the marked request
+ -      frames a second      t  theme      e  save as SVG
y        copy the command that prints this screen; ^y in a dialog
q        quit

█ decode, always at the bottom: decodes go first
▒ prefill, up to the budget ╌     ░ running now     · nothing ran
! a decode waited longer than the target ┄, as wide as it waited

A line of STALLS is one iteration that kept decodes waiting: who
waited longest, how many others, how long, and whose prefill it was."""


class HelpScreen(ModalScreen[None]):
    """One page of words."""

    CSS_PATH = "dialog.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q,question_mark", "dismiss", "close")]

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="dialog") as dialog:
            dialog.border_title = "HELP"
            dialog.border_subtitle = "esc closes"
            yield Static(ascii_only(_HELP) if self._look.is_ascii else _HELP, markup=False)
