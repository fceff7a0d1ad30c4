"""What a row of budgets would have given, asked of the daemon in the background when somebody wants it."""

from collections.abc import Sequence

from rich.text import Text
from textual import work
from textual.widgets import Static
from textual.worker import get_current_worker

from sarathictl.tui.ask import Ask
from sarathictl.tui.renderables.frontier import draw_frontier
from sarathictl.tui.renderables.look import Look
from sarathid.errors import SarathiError
from sarathid.protocol.control import Plan
from sarathid.protocol.plan import Candidate, Planned
from sarathid.protocol.slo import BudgetChoice


class FrontierTable(Static):
    """Shows budgets beside each other; `ask` takes as many replays as there are, and is asked once."""

    def __init__(self, ask: Ask, budgets: Sequence[BudgetChoice], look: Look, *, id: str | None = None) -> None:
        super().__init__(f"replaying the last minutes under each of {len(budgets)} budgets …", id=id, markup=False)
        self._ask = ask
        self._budgets = budgets
        self._look = look
        self._planned: Planned | None = None

    def on_mount(self) -> None:
        self._plan()

    def on_resize(self) -> None:
        self._draw()

    @work(thread=True)
    def _plan(self) -> None:
        worker = get_current_worker()
        candidates = tuple(Candidate(budget=budget) for budget in self._budgets)
        try:
            answer: Planned | str = self._ask(Plan(candidates=candidates), Planned)
        except (SarathiError, TimeoutError) as error:
            answer = f"no forecast: {error}"
        if not worker.is_cancelled:
            self.app.call_from_thread(self._take, answer)

    def _take(self, answer: Planned | str) -> None:
        if isinstance(answer, str):
            self.update(answer)
        else:
            self._planned = answer
            self._draw()

    def _draw(self) -> None:
        if self._planned is not None and self.size.width:
            self.update(Text("\n").join(draw_frontier(self._planned, self.size.width, self._look)))
