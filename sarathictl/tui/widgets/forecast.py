"""What a change would do, asked of the daemon in the background and shown when it comes."""

from collections.abc import Sequence
from textwrap import wrap

from rich.text import Text
from textual import work
from textual.timer import Timer
from textual.widgets import Static
from textual.worker import get_current_worker

from sarathictl.state.forecast import is_trusted
from sarathictl.tui.ask import Ask
from sarathictl.tui.renderables.forecast import draw_forecast
from sarathictl.tui.renderables.line import line
from sarathictl.tui.renderables.look import Look
from sarathid.errors import SarathiError
from sarathid.protocol.changes import Figures
from sarathid.protocol.control import Plan
from sarathid.protocol.plan import Candidate, Planned

ASK_AFTER_S = 0.4  # a value that somebody still types or steps over costs the daemon nothing


class ForecastTable(Static):
    """Shows the forecast of one candidate; `ask` may take long, and is asked for one at a time."""

    def __init__(self, ask: Ask, look: Look, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._ask = ask
        self._look = look
        self._wanted: Candidate | None = None
        self._is_asking = False
        self._pause: Timer | None = None
        self._answers: dict[Candidate, Planned | str] = {}

    def want(self, candidate: Candidate | None) -> None:
        """Show the forecast of another candidate, or of none, as soon as there is one."""
        self._wanted = candidate
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(ASK_AFTER_S, self._ask_for_wanted)
        self._draw()

    def figures_of(self, candidate: Candidate) -> Figures | None:
        """Return what was forecast of a candidate, None if nothing was."""
        answer = self._answers.get(candidate)
        return answer.forecasts[0].figures if isinstance(answer, Planned) else None

    def is_doubtful(self, candidate: Candidate) -> bool:
        """Whether a candidate was forecast by a replay that does not tell what did happen."""
        answer = self._answers.get(candidate)
        return isinstance(answer, Planned) and not is_trusted(answer)

    def on_resize(self) -> None:
        self._draw()

    def _ask_for_wanted(self) -> None:
        if self._wanted is not None and self._wanted not in self._answers and not self._is_asking:
            self._is_asking = True
            self._plan(self._wanted)

    @work(thread=True)
    def _plan(self, candidate: Candidate) -> None:
        worker = get_current_worker()
        try:
            answer: Planned | str = self._ask(Plan(candidates=(candidate,)), Planned)
        except (SarathiError, TimeoutError) as error:
            answer = f"no forecast: {error}"
        if not worker.is_cancelled:
            self.app.call_from_thread(self._take, candidate, answer)

    def _take(self, candidate: Candidate, answer: Planned | str) -> None:
        self._is_asking = False
        self._answers[candidate] = answer
        self._draw()
        self._ask_for_wanted()

    def _draw(self) -> None:
        if width := self.size.width:
            lines = self._lines(width)
            self.update(Text("\n").join(lines))

    def _lines(self, width: int) -> Sequence[Text]:
        if self._wanted is None:
            return self._say("another value shows what the last minutes would have been under it", width)
        match self._answers.get(self._wanted):
            case Planned() as planned:
                return draw_forecast(planned, width, self._look)
            case str() as words:
                return self._say(words, width)
            case None:
                return self._say("replaying the last minutes under it …", width)

    def _say(self, words: str, width: int) -> list[Text]:
        return [line([(part, self._look.faint)]) for part in wrap(words, width)]
