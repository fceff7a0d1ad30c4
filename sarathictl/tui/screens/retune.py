"""Changing a setting: what it would do before it is made, on which terms it is made, closed when it is in force."""

from typing import ClassVar

import msgspec
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Grid, Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label
from textual.worker import get_current_worker

from sarathictl.keymap import Place
from sarathictl.state.change_form import ChangeForm, Terms, candidate_of_change
from sarathictl.state.retuning import describe_change
from sarathictl.state.shell_words import command_of
from sarathictl.tui.ask import Ask
from sarathictl.tui.bindings import bindings_at
from sarathictl.tui.messages import CommandAsked
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.widgets.forecast import ForecastTable
from sarathictl.tui.widgets.frontier import FrontierTable
from sarathictl.tui.widgets.step_input import StepInput
from sarathid.errors import ConfigError, ControlRefused, SarathiError
from sarathid.protocol.control import ChangeRequest, Retuned

DEFAULT_CONFIRM = "60s"
ANYWAY = "anyway"
_STEP_KEYS = "←→ tile, ⇧←→ token, a auto"


class RetuneScreen(ModalScreen[str | None]):
    """Forecasts and sends what is entered, and ends with words when the change is in force.

    It is in force when the stream has shown its revision, not when the daemon has promised it. A change does not wait
    for its forecast, which `ask_plan` may take long to give; but one whose forecast can't be trusted takes a word more.
    """

    CSS_PATH = "dialog.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.CHANGE)

    def __init__(self, form: ChangeForm, ask: Ask, ask_plan: Ask, look: Look) -> None:
        super().__init__()
        self._form = form
        self._ask = ask
        self._ask_plan = ask_plan
        self._look = look
        self._frontier: FrontierTable | None = None
        self._forecast = ForecastTable(ask_plan, look, id="forecast")
        self._value = _value_input(form)
        self._confirm = Input(DEFAULT_CONFIRM, "never", compact=True)
        self._guard = Input("", form.guard, id="guard", compact=True)
        self._reason = Input(form.reason, "for the audit log", id="reason", compact=True)
        self._anyway = Input(placeholder=ANYWAY, id="anyway", compact=True)
        self._note = Label("", id="note", markup=False)
        self._accepted: Retuned | None = None
        self._seen_revision = 0

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="dialog", can_focus=False) as dialog:
            dialog.border_title = self._form.title
            row = "^t row of budgets · " if self._form.budgets else ""
            dialog.border_subtitle = f"enter applies · tab next · {row}^y copy · esc close"
            yield Label(self._form.facts, markup=False)
            with Grid(id="fields"):
                yield from (Label("new"), self._value, self._note)
                yield from (Label("taken back after"), self._confirm, Label("unless kept"))
                yield from (Label("or once broken"), self._guard)
                yield from (Label("reason"), self._reason)
            yield self._forecast
            with Horizontal(id="doubt") as doubt:
                doubt.display = False
                yield Label(f"Type {ANYWAY} to apply it all the same:")
                yield self._anyway
            yield Label("", id="answer", markup=False)

    def on_mount(self) -> None:
        self._value.focus()

    def on_input_changed(self, changed: Input.Changed) -> None:
        if changed.input is not self._value:
            return
        try:
            op = None if changed.value == self._form.now else self._form.read(changed.value)
        except ConfigError:
            op = None
        self._forecast.want(None if op is None else candidate_of_change(op))
        self._doubt(is_doubtful=False)
        words = self._form.note(changed.value) if self._form.note else ""
        self._note.update(words or (_STEP_KEYS if self._form.step else ""))

    def on_input_submitted(self) -> None:
        asked = self._asked()
        if asked is None:
            return
        candidate = candidate_of_change(asked)
        if self._forecast.is_doubtful(candidate) and self._anyway.value.strip() != ANYWAY:
            self._doubt(is_doubtful=True)
            return
        self._say("sent")
        self._send(msgspec.structs.replace(asked, predicted=self._forecast.figures_of(candidate)))

    def _doubt(self, *, is_doubtful: bool) -> None:
        """Ask for a word more, or no longer."""
        self.query_one("#doubt").display = is_doubtful
        if is_doubtful:
            self._anyway.focus()
        else:
            self._anyway.clear()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the row of budgets where something else is changed."""
        del parameters
        return action != "try_budgets" or bool(self._form.budgets)

    async def action_try_budgets(self) -> None:
        """Show what a row of budgets would have given in the place of the one, or that one again."""
        if self._frontier is None:
            self._frontier = FrontierTable(self._ask_plan, self._form.budgets, self._look, id="frontier")
            await self.query_one("#dialog").mount(self._frontier, after=self._forecast)
        self._forecast.display = not self._forecast.display
        self._frontier.display = not self._forecast.display

    def action_copy(self) -> None:
        asked = self._asked()
        if asked is not None:
            self.post_message(CommandAsked(command_of(asked)))

    def _asked(self) -> ChangeRequest | None:
        """Return the change that the fields ask for, or say why they ask for none."""
        terms = Terms(confirm=self._confirm.value, guard=self._guard.value, reason=self._reason.value)
        try:
            return terms.put_on(self._form.read(self._value.value), self._form.revision)
        except ConfigError as error:
            self._say(str(error))
            return None

    def see_revision(self, revision: int) -> None:
        """Take note that the stream has shown this revision in force."""
        self._seen_revision = revision
        self._finish_if_seen()

    @work(thread=True, exclusive=True)
    def _send(self, op: ChangeRequest) -> None:
        worker = get_current_worker()
        try:
            answer: Retuned | str = self._ask(op, Retuned)
        except ControlRefused as error:
            answer = f"refused: {error}" + (f"\n{error.hint}" if error.hint else "")
        except (SarathiError, TimeoutError) as error:
            answer = str(error)
        if not worker.is_cancelled:
            self.app.call_from_thread(self._take_answer, answer)

    def _take_answer(self, answer: Retuned | str) -> None:
        if isinstance(answer, str):
            self._say(answer)
            return
        self._accepted = answer
        self._say(f"accepted as r{answer.new.revision}; waiting for iteration {answer.iteration}")
        self._finish_if_seen()

    def _finish_if_seen(self) -> None:
        if self._accepted is not None and self._seen_revision >= self._accepted.new.revision:
            self.dismiss(describe_change(self._accepted))

    def _say(self, words: str) -> None:
        self.query_one("#answer", Label).update(words)


def _value_input(form: ChangeForm) -> Input:
    return Input(form.initial, compact=True) if form.step is None else StepInput(form.initial, form.step)
