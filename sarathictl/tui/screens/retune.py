"""Changing a setting: a form of one field, sent from a worker, closed when the stream shows the change."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label
from textual.worker import get_current_worker

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.state.retuning import budget_in_words, describe_change, read_budget_choice, read_targets
from sarathid.errors import ConfigError, ControlRefused, SarathiError
from sarathid.protocol.control import ControlRequest, Retuned, SetBudget, SetPolicy, SetSLO

Reply = TypeVar("Reply")

POLICIES = ("stall-free", "prefill-first")


class Ask(Protocol):
    """Sends one operation to the daemon and waits for its answer; called from worker threads."""

    def __call__(self, op: ControlRequest, reply_type: type[Reply]) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Form:
    """One question to an operator, and how the answer becomes an operation (or a `ConfigError`)."""

    title: str
    facts: str
    initial: str
    read: Callable[[str], ControlRequest]


def budget_form(view: EngineView) -> Form:
    """Return the form for the token budget."""
    assert view.settings is not None
    limits = f"allowed {view.info.min_token_budget} to {view.info.max_token_budget}" if view.info else ""
    now = budget_in_words(view.settings)
    facts = (
        f"tokens an iteration, decodes and prefill together, or auto\nnow {now} (r{view.settings.revision})   {limits}"
    )
    return Form("TOKEN BUDGET", facts, str(view.settings.budget), _read_budget)


def policy_form(view: EngineView) -> Form:
    """Return the form for the scheduling policy, with another one than now filled in."""
    assert view.settings is not None
    now = view.settings.policy
    other = next(policy for policy in POLICIES if policy != now)
    return Form("POLICY", f"{' or '.join(POLICIES)}\nnow {now} (r{view.settings.revision})", other, _read_policy)


def slo_form(view: EngineView) -> Form:
    """Return the form for the latency targets."""
    assert view.settings is not None
    slo = view.settings.slo
    now = " ".join(
        f"{name}={units.short_duration(target_s) if target_s else 'off'}"
        for name, target_s in (("tbt", slo.tbt_s), ("ttft", slo.ttft_s))
    )
    facts = "tbt bounds the P99 of the time between tokens, ttft the P95 to the first\ntbt=100ms ttft=2s, or off"

    def read(text: str) -> ControlRequest:
        return SetSLO(slo=read_targets(text.split()))

    return Form("LATENCY TARGETS", facts, now, read)


class RetuneScreen(ModalScreen[str | None]):
    """Sends what is entered, shows a refusal, and ends with words when the change is in force.

    It is in force when the stream has shown its revision, not when the daemon has promised it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "close")]

    def __init__(self, form: Form, ask: Ask) -> None:
        super().__init__()
        self._form = form
        self._ask = ask
        self._accepted: Retuned | None = None
        self._seen_revision = 0

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = self._form.title
            dialog.border_subtitle = "enter applies at once · esc closes"
            yield Label(self._form.facts, markup=False)
            yield Input(self._form.initial, compact=True)
            yield Label("", id="answer", markup=False)

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        try:
            op = self._form.read(submitted.value)
        except ConfigError as error:
            self._say(str(error))
            return
        self._say("sent")
        self._send(op)

    def see_revision(self, revision: int) -> None:
        """Take note that the stream has shown this revision in force."""
        self._seen_revision = revision
        self._finish_if_seen()

    @work(thread=True, exclusive=True)
    def _send(self, op: ControlRequest) -> None:
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


def _read_budget(text: str) -> ControlRequest:
    return SetBudget(budget=read_budget_choice(text.strip()))


def _read_policy(text: str) -> ControlRequest:
    return SetPolicy(policy=text.strip())
