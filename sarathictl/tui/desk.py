"""What an operator asks of the daemon from the console: changes, and reasons."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec
from textual.app import App

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.state.facts import Fact
from sarathictl.state.retuning import describe_change
from sarathictl.state.shell_words import command_of
from sarathictl.state.why_budget import explain_budget
from sarathictl.state.why_request import explain_request
from sarathictl.tui.ask import Ask
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.screens.confirm import ConfirmScreen
from sarathictl.tui.screens.why import WhyScreen
from sarathid.errors import ConfigError, SarathiError
from sarathid.protocol.control import (
    Cancel,
    Cancelled,
    ControlRequest,
    DaemonState,
    Drain,
    Draining,
    ExplainBudget,
    ExplainRequest,
    Keep,
    Kept,
    Pause,
    Paused,
    Resume,
    Resumed,
    Retuned,
    Undo,
)
from sarathid.protocol.stats import StallEvent
from sarathid.protocol.why import BudgetReasons, RequestReasons
from sarathid.tape.request_table import RequestRow

if TYPE_CHECKING:
    from sarathictl.state.change_form import ChangeForm
    from sarathictl.tui.screens.retune import RetuneScreen

Reply = TypeVar("Reply")


class Desk:
    """Opens the dialogs of an app, sends what is decided in them, and says what came of it."""

    def __init__(self, app: App[None], ask: Ask, ask_plan: Ask, look: Callable[[], Look]) -> None:
        self._app = app
        self._ask = ask
        self._ask_plan = ask_plan
        self._look = look
        self._retuning: RetuneScreen | None = None

    def request(self, op: ControlRequest, reply_type: type[Reply], then: Callable[[Reply], None], failure: str) -> None:
        """Ask for something in a worker, and go on with the answer, or say that it failed."""
        self._app.run_worker(partial(self._work, op, reply_type, then, failure), thread=True)

    def work(self, ask: Callable[[], Reply], then: Callable[[Reply], None]) -> None:
        """Do what may take a while in a worker, and go on with what it gives."""
        self._app.run_worker(lambda: self._app.call_from_thread(then, ask()), thread=True)

    def retune(self, what: str, view: EngineView) -> None:
        """Open the form for a change of the budget, the policy or the targets."""
        from sarathictl.state.change_form import FORMS  # deferred: the first picture needs no form

        if view.settings is None:
            self._app.notify("the engine is not ready yet", severity="warning")
            return
        self._open_form(FORMS[what](view))

    def fix(self, stall: StallEvent, view: EngineView) -> None:
        """Propose what would have prevented a stall."""
        from sarathictl.state.fix import fix_form  # deferred: the first picture needs no form

        try:
            self._open_form(fix_form(stall, view))
        except ConfigError as error:
            self._app.notify(str(error), severity="warning", markup=False)

    def see_revision(self, revision: int) -> None:
        """Take note that the stream has shown this revision in force."""
        if self._retuning is not None:
            self._retuning.see_revision(revision)

    def keep(self) -> None:
        """Keep the newest change that is on probation."""
        self.request(Keep(), Kept, lambda kept: self._say(f"kept revision {kept.revision}"), "not kept")

    def undo(self, revision: int | None) -> None:
        """Ask whether to undo the newest change, and do; `revision` is the one that is seen in force."""
        undo = Undo(if_revision=revision)

        def act(is_sure: bool | None) -> None:
            if is_sure:
                self.request(undo, Retuned, lambda done: self._say(f"undone: {describe_change(done)}"), "not undone")

        def ask(retuned: Retuned) -> None:
            self._app.push_screen(
                ConfirmScreen(f"Undo the last change? It {describe_change(retuned)}.", command_of(undo)), act
            )

        self.request(msgspec.structs.replace(undo, dry_run=True), Retuned, ask, "not undone")

    def cancel(self, row: RequestRow | None) -> None:
        """Ask whether to cancel a request, and do."""
        if row is None:
            self._app.notify("mark a request first: tab, then the arrow keys", severity="warning")
            return
        question = f"Cancel request {row.request_id}? It has {units.tokens(row.num_output_tokens)} so far."

        op = Cancel(request_id=row.request_id)
        self._do_if_sure(question, op, Cancelled, f"cancelled request {op.request_id}", "not cancelled")

    def drain(self, name: str, num_in_flight: int) -> None:
        """Ask for a daemon's name, and have it finish and stop."""
        from sarathictl.tui.screens.drain import DrainScreen  # deferred: it would hold the first picture up

        op = Drain()

        def act(is_sure: bool | None) -> None:
            if is_sure:
                self.request(op, Draining, lambda _: self._say(f"{name} drains"), "not drained")

        self._app.push_screen(DrainScreen(name, num_in_flight, command_of(op)), act)

    def pause_or_resume(self, name: str, state: str, num_in_flight: int) -> None:
        """Ask whether a daemon is to take nothing new, or where it does so, requests again, and have it."""
        if state == DaemonState.PAUSED:
            question = f"Have {name} take new requests again?"
            self._do_if_sure(question, Resume(), Resumed, f"{name} takes requests again", "not resumed")
        else:
            question = f"Have {name} take nothing new? What runs ({num_in_flight} now) goes on to its end."
            self._do_if_sure(question, Pause(), Paused, f"{name} takes nothing new", "not paused")

    def explain_budget(self) -> None:
        """Show why the budget is what it is."""

        def ask() -> list[Fact]:
            return explain_budget(self._ask(ExplainBudget(), BudgetReasons))

        self._app.push_screen(WhyScreen("WHY  the budget", ask, self._look()))

    def explain_request(self, request_id: int) -> None:
        """Show why a request waits or stalled."""

        def ask() -> list[Fact]:
            return explain_request(self._ask(ExplainRequest(request_id=request_id), RequestReasons))

        self._app.push_screen(WhyScreen(f"WHY  request {request_id}", ask, self._look()))

    def _do_if_sure(
        self, question: str, op: ControlRequest, reply_type: type[object], words: str, failure: str
    ) -> None:
        """Ask a question, do `op` if the answer is yes, and say so in `words`."""

        def act(is_sure: bool | None) -> None:
            if is_sure:
                self.request(op, reply_type, lambda _: self._say(words), failure)

        self._app.push_screen(ConfirmScreen(question, command_of(op)), act)

    def _work(self, op: ControlRequest, reply_type: type[Reply], then: Callable[[Reply], None], failure: str) -> None:
        try:
            answer = self._ask(op, reply_type)
        except (SarathiError, TimeoutError) as error:
            self._app.call_from_thread(self._app.notify, f"{failure}: {error}", severity="error", markup=False)
        else:
            self._app.call_from_thread(then, answer)

    def _open_form(self, form: "ChangeForm") -> None:
        from sarathictl.tui.screens.retune import RetuneScreen  # deferred: it would hold the first picture up

        self._retuning = RetuneScreen(form, self._ask, self._ask_plan, self._look())
        self._app.push_screen(self._retuning, self._say_applied)

    def _say_applied(self, words: str | None) -> None:
        self._retuning = None
        if words is not None:
            self._say(f"applied: {words}")

    def _say(self, words: str) -> None:
        self._app.notify(words, markup=False)
