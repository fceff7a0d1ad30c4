"""Why the budget is what it is, or why a request waits or stalled: asked of the daemon, over the live screen."""

from collections.abc import Callable, Iterable
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static
from textual.worker import get_current_worker

from sarathictl.keymap import Place
from sarathictl.state.facts import Fact
from sarathictl.tui.bindings import bindings_at
from sarathictl.tui.renderables.facts import draw_facts
from sarathictl.tui.renderables.look import Look
from sarathid.errors import SarathiError

WIDTH = 96
_MARGIN = 10  # border, padding and what the dialog leaves of the screen at its sides


class WhyScreen(ModalScreen[None]):
    """Shows what `ask()`, called in a worker, answers."""

    CSS_PATH = "dialog.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.REASONS)

    def __init__(self, title: str, ask: Callable[[], Iterable[Fact]], look: Look) -> None:
        super().__init__()
        self._title = title
        self._ask = ask
        self._look = look

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="dialog", classes="broad") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = "w asks again · esc closes"
            yield Static("asking the daemon", id="facts", markup=False)

    def on_mount(self) -> None:
        self.action_ask()

    @work(thread=True, exclusive=True)
    def action_ask(self) -> None:
        worker = get_current_worker()
        try:
            facts = list(self._ask())
        except (SarathiError, TimeoutError) as error:
            facts = [("no answer", str(error))]
        if not worker.is_cancelled:
            self.app.call_from_thread(self._show, facts)

    def _show(self, facts: list[Fact]) -> None:
        lines = draw_facts(facts, min(WIDTH, self.app.size.width - _MARGIN), self._look)
        self.query_one("#facts", Static).update(Text("\n").join(lines))
