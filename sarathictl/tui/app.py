"""The console: one connection, the state folded from it, and the screens that show it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

import msgspec
from textual import work
from textual.app import App
from textual.binding import Binding, BindingType

from sarathictl import units
from sarathictl.client.stats_stream import Link, LinkState, Received
from sarathictl.state.engine_state import EngineState
from sarathictl.state.engine_view import EngineView
from sarathictl.state.facts import Fact
from sarathictl.state.known_history import KnownHistory
from sarathictl.state.retuning import describe_change
from sarathictl.state.why_budget import explain_budget
from sarathictl.state.why_request import explain_request
from sarathictl.tui.ask import Ask
from sarathictl.tui.renderables.colors import COLORS
from sarathictl.tui.renderables.header import Watch, wall_clock_offset_s
from sarathictl.tui.renderables.look import PLAIN_LOOK, Look, make_look
from sarathictl.tui.screens.confirm import ConfirmScreen
from sarathictl.tui.screens.help import HelpScreen
from sarathictl.tui.screens.live import LiveScreen
from sarathictl.tui.screens.view_screen import ViewScreen
from sarathictl.tui.screens.why import WhyScreen
from sarathictl.tui.themes import THEMES
from sarathictl.tui.widgets.requests import RequestsPanel
from sarathictl.tui.widgets.stalls import StallsPanel
from sarathid.clock import Clock
from sarathid.errors import ConfigError, SarathiError
from sarathid.protocol.control import (
    AuditTrail,
    Cancel,
    Cancelled,
    ControlRequest,
    ExplainBudget,
    ExplainRequest,
    GetAudit,
    GetHistory,
    History,
    Keep,
    Kept,
    Retuned,
    Undo,
)
from sarathid.protocol.stats import StallEvent
from sarathid.protocol.why import BudgetReasons, RequestReasons

if TYPE_CHECKING:
    from sarathictl.state.change_form import ChangeForm
    from sarathictl.tui.screens.retune import RetuneScreen

Reply = TypeVar("Reply")

RATES_HZ = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0)
DEFAULT_RATE_HZ = 4.0


class Source(Protocol):
    """Where records come from: `client.stats_stream.StatsStream`, or a test."""

    @property
    def link(self) -> Link:
        """How the connection stands."""
        ...

    def drain(self) -> Sequence[Received]:
        """Return everything that came since the last call."""
        ...


class ConsoleApp(App[None]):
    """Takes in records at every tick, shows a view of them, and sends what the operator decides."""

    CSS_PATH = "app.tcss"
    TITLE = "sarathictl top"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-cramped"), (60, "-narrow"), (100, "-broad"), (160, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (16, "-short"), (34, "-tall"), (50, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("1", "view('live')", "screens", key_display="1-4"),
        Binding("2", "view('requests')", "requests", show=False),
        Binding("3", "view('stalls')", "stalls", show=False),
        Binding("4", "view('tuning')", "tuning", show=False),
        Binding("space", "pause", "pause"),
        Binding("b", "retune('budget')", "budget"),
        Binding("p", "retune('policy')", "policy", show=False),
        Binding("o", "retune('slo')", "SLO"),
        Binding("w", "why", "why"),
        Binding("k", "keep", "keep", show=False),
        Binding("u", "undo", "undo", show=False),
        Binding("K", "cancel_request", "cancel", key_display="K"),
        Binding("e", "export", "export", show=False),
        Binding("t", "next_theme", "theme", show=False),
        Binding("plus,equals_sign", "change_rate(1)", "faster", show=False),
        Binding("minus", "change_rate(-1)", "slower", show=False),
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", "quit", show=False, priority=True),
    ]

    def __init__(
        self,
        source: Source,
        ask: Ask,
        ask_plan: Ask,
        *,
        clock: Clock,
        wall_offset_s: float | None = None,
        has_color: bool = True,
        is_ascii: bool = False,
        export_dir: Path | None = None,
    ) -> None:
        super().__init__(ansi_color=None if has_color else True)
        self._source = source
        self._ask = ask
        self._ask_plan = ask_plan
        self._clock = clock
        self._wall_offset_s = wall_clock_offset_s() if wall_offset_s is None else wall_offset_s
        self._has_color = has_color
        self._export_dir = export_dir or Path.cwd()
        self._state = EngineState()
        self._history = KnownHistory()
        self._current: ViewScreen = LiveScreen()
        self._retuning: RetuneScreen | None = None
        self._rate_hz = DEFAULT_RATE_HZ
        self._paused: EngineView | None = None
        self._shown: tuple[int | None, LinkState, bool] | None = None
        self.set_class(is_ascii, "-ascii")
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = "dark" if has_color else "ansi"

    async def on_mount(self) -> None:
        self.install_screen(self._current, "live")
        await self.push_screen(self._current)
        self._ticker = self.set_interval(1.0 / self._rate_hz, self.tick)
        self.tick()

    @property
    def look(self) -> Look:
        """The pencils in the theme's colours."""
        look = make_look(COLORS[self.theme]) if self._has_color else PLAIN_LOOK
        return replace(look, is_ascii=self.has_class("-ascii"))

    def tick(self) -> None:
        """Take in what has come and show it."""
        for received in self._source.drain():
            self._state = self._state.after(received.item, received.time_s)
        self._show()

    def action_help(self) -> None:
        self.push_screen(HelpScreen(self.look))

    def action_pause(self) -> None:
        self._paused = self._state.view(self._clock.now_s()) if self._paused is None else None
        self._show()

    def action_view(self, name: str) -> None:
        """Change to another screen, which is built when it is first asked for."""
        if not self.is_screen_installed(name):
            self.install_screen(_make_screen(name), name)
        screen = self.get_screen(name)
        assert isinstance(screen, ViewScreen)
        if screen is not self._current:
            self._current = screen
            self.switch_screen(screen)
            self._tell_current()

    def action_retune(self, what: str) -> None:
        from sarathictl.state.change_form import FORMS  # deferred: the first picture needs no form

        view = self._state.view(self._clock.now_s())
        if view.settings is None:
            self.notify("the engine is not ready yet", severity="warning")
            return
        self._open_form(FORMS[what](view))

    def on_stalls_panel_fix_asked(self, message: StallsPanel.FixAsked) -> None:
        """Propose what would have prevented a stall."""
        stall = message.stall
        op = ExplainRequest(request_id=stall.victims[0].request_id)
        self._request(op, RequestReasons, lambda found: self._propose(found, stall), "no proposal")

    def action_keep(self) -> None:
        self._request(Keep(), Kept, lambda kept: self._say(f"kept revision {kept.revision}"), "not kept")

    def action_undo(self) -> None:
        undo = Undo(if_revision=self._state.revision)

        def act(is_sure: bool | None) -> None:
            if is_sure:
                self._request(
                    undo, Retuned, lambda retuned: self._say(f"undone: {describe_change(retuned)}"), "not undone"
                )

        def ask(retuned: Retuned) -> None:
            self.push_screen(ConfirmScreen(f"Undo the last change? It {describe_change(retuned)}."), act)

        self._request(msgspec.structs.replace(undo, dry_run=True), Retuned, ask, "not undone")

    def action_why(self) -> None:
        self.push_screen(WhyScreen("WHY  the budget", self._explain_budget, self.look))

    def on_requests_panel_explained(self, message: RequestsPanel.Explained) -> None:
        request_id = message.request_id
        self.push_screen(WhyScreen(f"WHY  request {request_id}", lambda: self._explain_request(request_id), self.look))

    def action_cancel_request(self) -> None:
        row = self._current.marked_request
        if row is None:
            self.notify("mark a request first: tab, then the arrow keys", severity="warning")
            return
        question = f"Cancel request {row.request_id}? It has {units.tokens(row.num_output_tokens)} so far."

        def act(is_sure: bool | None) -> None:
            if is_sure:
                op = Cancel(request_id=row.request_id)
                self._request(
                    op, Cancelled, lambda _: self._say(f"cancelled request {row.request_id}"), "not cancelled"
                )

        self.push_screen(ConfirmScreen(question), act)

    def action_export(self) -> None:
        name = f"sarathictl-{time.strftime('%Y%m%d-%H%M%S')}.svg"
        self.notify(f"saved {self.save_screenshot(name, str(self._export_dir))}", markup=False)

    def action_next_theme(self) -> None:
        names = [theme.name for theme in THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)]
        self.call_after_refresh(self._show, is_urgent=True)

    def action_change_rate(self, step: int) -> None:
        index = min(max(RATES_HZ.index(self._rate_hz) + step, 0), len(RATES_HZ) - 1)
        self._rate_hz = RATES_HZ[index]
        self._ticker.stop()
        self._ticker = self.set_interval(1.0 / self._rate_hz, self.tick)
        self._show()

    def _explain_budget(self) -> list[Fact]:
        return explain_budget(self._ask(ExplainBudget(), BudgetReasons))

    def _explain_request(self, request_id: int) -> list[Fact]:
        return explain_request(self._ask(ExplainRequest(request_id=request_id), RequestReasons))

    def _open_form(self, form: "ChangeForm") -> None:
        from sarathictl.tui.screens.retune import RetuneScreen  # deferred: it would hold the first picture up

        self._retuning = RetuneScreen(form, self._ask, self._ask_plan, self.look)
        self.push_screen(self._retuning, self._say_applied)

    def _propose(self, found: RequestReasons, stall: StallEvent) -> None:
        from sarathictl.state.fix import fix_form  # deferred: the first picture needs no form

        try:
            self._open_form(fix_form(found, stall, self._state.view(self._clock.now_s())))
        except ConfigError as error:
            self.notify(str(error), severity="warning", markup=False)

    @work(thread=True)
    def _request(
        self, op: ControlRequest, reply_type: type[Reply], then: Callable[[Reply], None], failure: str
    ) -> None:
        """Ask for something in a worker, and go on with the answer, or say that it failed."""
        try:
            answer = self._ask(op, reply_type)
        except (SarathiError, TimeoutError) as error:
            self.call_from_thread(self.notify, f"{failure}: {error}", severity="error", markup=False)
        else:
            self.call_from_thread(then, answer)

    def _follow_history(self, view: EngineView) -> None:
        """Ask for the revisions when they may have changed; before the first change few need them."""
        is_wanted = bool(view.changes) or self._current.shows_audit
        if is_wanted and view.settings is not None and self._history.is_due(view.settings.revision, view.now_s):
            self._request(GetHistory(), History, self._take_history, "no history")
            if self._current.shows_audit:
                self._request(GetAudit(), AuditTrail, self._take_audit, "no audit log")

    def _take_history(self, history: History) -> None:
        self._history.revisions = history.revisions
        self._current.see_history(history.revisions)

    def _take_audit(self, audit: AuditTrail) -> None:
        self._current.see_audit(audit.entries)

    def _tell_current(self) -> None:
        """Show in a screen that comes up what is known already."""
        self._current.see_history(self._history.revisions)
        if self._current.shows_audit:
            self._history.forget()
        self._show(is_urgent=True)

    def _say_applied(self, words: str | None) -> None:
        self._retuning = None
        if words is not None:
            self._say(f"applied: {words}")

    def _say(self, words: str) -> None:
        self.notify(words, markup=False)

    def _show(self, *, is_urgent: bool = False) -> None:
        now_s = self._clock.now_s()
        view = self._state.view(now_s) if self._paused is None else self._paused
        self._follow_history(view)
        link = self._source.link
        watch = Watch(
            link=link,
            now_s=now_s,
            wall_offset_s=self._wall_offset_s,
            rate_hz=self._rate_hz,
            paused_s=None if self._paused is None else self._paused.now_s,
        )
        news = (self._state.revision, link.state, self._paused is None)
        self._current.show(view, watch, self.look, is_urgent=is_urgent or news != self._shown)
        self._shown = news
        if self._state.revision is not None and self._retuning is not None:
            self._retuning.see_revision(self._state.revision)


def _make_screen(name: str) -> ViewScreen:
    """Return a new numbered screen; each is imported when it is first shown, since the first picture needs none."""
    match name:
        case "requests":
            from sarathictl.tui.screens.requests import RequestsScreen

            return RequestsScreen()
        case "stalls":
            from sarathictl.tui.screens.stalls import StallsScreen

            return StallsScreen()
        case "tuning":
            from sarathictl.tui.screens.tuning import TuningScreen

            return TuningScreen()
        case _:
            raise AssertionError(f"there is no screen {name}")
