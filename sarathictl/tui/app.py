"""The console: one connection, the state folded from it, and the screens that show it."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol

from textual.app import App
from textual.binding import BindingType
from textual.command import Provider
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.filter import LineFilter

from sarathictl import units
from sarathictl.client.contexts import Theme
from sarathictl.client.endpoint import Daemon
from sarathictl.client.fleet import Answer
from sarathictl.client.recording import TapeFile
from sarathictl.client.stats_stream import Link, LinkState, Received
from sarathictl.keymap import Place
from sarathictl.state.alerts import Alert, AlertWatch
from sarathictl.state.engine_log import EngineLog
from sarathictl.state.engine_view import EngineView
from sarathictl.state.known_history import KnownHistory
from sarathictl.state.moment import read_moment
from sarathictl.state.opening import RATES_HZ, Opening, View, next_rate_hz
from sarathictl.state.outflow import Outflow
from sarathictl.state.playhead import Playhead
from sarathictl.state.sentences import end_in_words
from sarathictl.state.twin import Twin
from sarathictl.tui.alerts import Alerts
from sarathictl.tui.ascii_filter import AsciiFilter
from sarathictl.tui.ask import Ask
from sarathictl.tui.bindings import bindings_at
from sarathictl.tui.desk import Desk
from sarathictl.tui.messages import CommandAsked
from sarathictl.tui.metered_driver import MeteredDriver
from sarathictl.tui.numbered_screens import make_screen
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.look import Look, look_of
from sarathictl.tui.screens.help import HelpScreen
from sarathictl.tui.screens.listing_screen import ListingScreen
from sarathictl.tui.screens.view_screen import ViewScreen
from sarathictl.tui.steady_stylesheet import SteadyStylesheet
from sarathictl.tui.themes import THEMES
from sarathictl.tui.widgets.requests import RequestsPanel
from sarathictl.tui.widgets.stalls import StallsPanel
from sarathid.clock import Clock, wall_clock_offset_s
from sarathid.errors import ConfigError
from sarathid.protocol.control import (
    AuditTrail,
    Cancel,
    ChangeRequest,
    Drain,
    GetAudit,
    GetHistory,
    History,
    Keep,
    Pause,
    Snapshot,
    Status,
)
from sarathid.protocol.roles import Role
from sarathid.protocol.stats import RequestStats, StallEvent
from sarathid.tape.tape import SUFFIX, TapeHeader

FLEET_EVERY_S = 2.0
NEEDS = {
    "retune": ChangeRequest.needs,
    "undo": ChangeRequest.needs,
    "keep": Keep.needs,
    "cancel_request": Cancel.needs,
    "pause_or_resume": Pause.needs,
    "drain": Drain.needs,
}

_WRITING_FILES = ("record", "export")  # where the program runs, which is not where somebody looks through a browser
_ASKING = frozenset({"retune", "why", "keep", "undo", "cancel_request", "pause_or_resume", "drain", "record"})


def find_provider() -> type[Provider]:
    """Return what fills the palette."""
    from sarathictl.tui.palette import KeyProvider  # deferred: few open it

    return KeyProvider


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
    DEFAULT_MODE = "opening"  # a screen of our own in the place of Textual's; each other screen has its mode, too
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {find_provider}
    HORIZONTAL_BREAKPOINTS = [(0, "-cramped"), (60, "-narrow"), (100, "-broad"), (160, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (16, "-short"), (34, "-tall"), (50, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.EVERYWHERE, Place.TIME, Place.CHANGES)

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
        ask_fleet: Callable[[], Sequence[Answer]] | None = None,
        recording: EngineLog | None = None,
        limit: Role = Role.ADMIN,
        program: str = "sarathictl",
        daemon: Daemon | None = None,
        alerts: Alerts | None = None,
        twin: Twin | None = None,
        opening: Opening | None = None,
        outflow: Outflow | None = None,
    ) -> None:
        """Show what `source` says; with a `recording`, which it reads, that is played and nothing can be changed.

        Beside a recording, its `twin` can be shown.
        """
        super().__init__(ansi_color=None if has_color else True)
        self.outflow = outflow or Outflow(clock)
        self._is_slowed = False
        self._source = source
        self._desk = Desk(self, ask, ask_plan, lambda: self.look)
        self._clock = clock
        self._wall_offset_s = wall_clock_offset_s() if wall_offset_s is None else wall_offset_s
        self._has_color = has_color
        self._export_dir = export_dir or Path.cwd()
        self._ask_fleet = ask_fleet
        self._fleet_asked_s: float | None = None
        self._limit = limit
        self._role: Role | None = None
        self._is_recorded = True
        self._program = program
        self._daemon = daemon
        self._opening = opening or Opening()
        self._alerts = alerts or Alerts(AlertWatch())
        self._records = recording or EngineLog()
        self._is_recording = recording is not None
        self._playhead = Playhead(self._records, clock, is_recording=self._is_recording)
        self._saving: TapeFile | None = None
        self._history = KnownHistory()
        self._twin = twin
        self._followed: frozenset[int] = frozenset()
        self._current = self._filtered(make_screen(self._opening.view))
        self._screens: dict[str, ViewScreen] = {self._opening.view: self._current}
        self.add_mode(self.DEFAULT_MODE, lambda: self._screens[self._opening.view])
        self._rate_hz = self._opening.rate_hz
        self._shown: tuple[int | None, LinkState, bool, tuple[str, ...]] | None = None
        self._ascii_filters = (AsciiFilter(),) if is_ascii else ()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self._opening.theme if has_color else "ansi"
        self.stylesheet = SteadyStylesheet(self.get_css_variables())

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.exit, None, 128 + number)
        loop.add_signal_handler(signal.SIGCONT, self._go_on)
        if self._twin is not None:
            self.action_compare()
        self._ticker = self.set_interval(1.0 / self._rate_hz, self.tick)
        self.tick()

    def _go_on(self) -> None:
        """Take the terminal back after a stop, unless this ends: where a shell ends a SIGCONT follows the SIGHUP."""
        if self._driver is not None and not self._exit:
            self._driver.resume_application_mode()
            self.refresh(layout=True)

    @property
    def look(self) -> Look:
        """The pencils in the theme's colours."""
        return look_of(self.theme if self._has_color else None, is_ascii=bool(self._ascii_filters))

    def get_driver_class(self) -> type[Driver]:
        """Return the driver that Textual would choose, which keeps account of its writes where it is a terminal's."""
        chosen = super().get_driver_class()
        return MeteredDriver if chosen is LinuxDriver else chosen

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return what every line goes through on its way to the terminal."""
        return (*super().get_line_filters(), *self._ascii_filters)

    def tick(self) -> None:
        """Take in what has come and show it; what had come before is packed first.

        Nothing is shown while the terminal has not taken what was: it would only wait behind that.
        """
        self._records.pack()
        for received in self._source.drain():
            self._records.take(received.item, received.time_s)
            match received.item:
                case Snapshot():
                    self._see_status(received.item.status)
                case RequestStats() if received.item.request_id in self._followed:
                    self._tell_end(received.item)
        self._save()
        self._playhead.tick()
        if self.outflow.is_stuck:
            return
        if not self._is_slowed and self.outflow.is_too_much:
            self._slow_down()
        self._show()

    def _slow_down(self) -> None:
        """Send the terminal as little as can be, until somebody wants more again."""
        self._is_slowed = True
        self._set_rate(RATES_HZ[0])
        if self._has_color:
            self.theme = Theme.ANSI
        self.call_after_refresh(self._show, is_urgent=True)

    def _hurry(self) -> None:
        """Send as much as is wanted, as long as the terminal takes it."""
        self._is_slowed = False
        self.outflow.forget()

    @property
    def _daemon_name(self) -> str:
        return self._daemon.name if self._daemon else "this daemon"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the keys of what may not be done from here, and those that ask a daemon where there is none."""
        del parameters
        needed = NEEDS.get(action)
        if action == "compare":
            return self._twin is not None
        if self.is_web and action in _WRITING_FILES:
            return False
        is_permitted = needed is None or (self._role or self._limit).includes(needed)
        return is_permitted and not (self._is_recording and action in _ASKING)

    def action_help(self) -> None:
        self.push_screen(HelpScreen(self.look))

    def action_pause(self) -> None:
        self._playhead.toggle()
        self._show(is_urgent=True)

    def action_step(self, num_iterations: int) -> None:
        self._playhead.step(num_iterations)
        self._show(is_urgent=True)

    def action_shift(self, seconds: int) -> None:
        self._playhead.shift(seconds)
        self._show(is_urgent=True)

    def action_go_to_start(self) -> None:
        self._playhead.to_start()
        self._show(is_urgent=True)

    def action_go_to_end(self) -> None:
        self._playhead.to_end()
        self._show(is_urgent=True)

    def action_go_to(self) -> None:
        """Ask for a moment, and go there."""
        from sarathictl.tui.screens.go_to import GoToScreen  # deferred: it would hold the first picture up

        span_s = self._playhead.seal_span_s()
        if span_s is None:
            self.notify("nothing was recorded yet", severity="warning")
            return
        start_s, end_s = (time_s + self._wall_offset_s for time_s in span_s)

        def go(wall_s: float | None) -> None:
            if wall_s is not None:
                self._go_to(wall_s - self._wall_offset_s)

        span = f"There are records from {units.clock_time(start_s)} to {units.clock_time(end_s)}."
        self.push_screen(GoToScreen(span, partial(read_moment, newest_s=end_s)), go)

    def _go_to(self, time_s: float) -> None:
        self._playhead.to_moment(time_s)
        self._show(is_urgent=True)

    def action_go_to_stall(self, step: int) -> None:
        self._playhead.to_stall(step)
        self._show(is_urgent=True)

    def action_go_to_change(self, step: int) -> None:
        self._playhead.to_change(step)
        self._show(is_urgent=True)

    def action_change_speed(self, step: int) -> None:
        self._playhead.change_speed(step)
        self._show()

    def action_mark_loop(self) -> None:
        self._playhead.mark_loop()
        self._show()

    def action_record(self) -> None:
        """Save records to a file from now on, or stop doing so."""
        try:
            if self._saving is None:
                self._saving = self._begin_file()
            else:
                self._end_file(self._saving)
        except (ConfigError, OSError) as error:
            self.notify(f"not recorded: {error}", severity="error", markup=False)
        self._show(is_urgent=True)

    def action_compare(self) -> None:
        """Change to the screen that shows a recording beside its twin."""
        from sarathictl.tui.screens.compare import CompareScreen  # deferred: few recordings have one

        assert self._twin is not None
        self._change_to("compare", partial(CompareScreen, self._twin.planned))

    def action_view(self, name: str) -> None:
        """Change to another screen, which is built when it is first asked for."""
        self._change_to(name, partial(make_screen, View(name)))

    def _change_to(self, name: str, make: Callable[[], ViewScreen]) -> None:
        if name not in self._screens:
            self._screens[name] = self._filtered(make())
            self.add_mode(name, lambda: self._screens[name])
        if self._screens[name] is not self._current:
            self._current = self._screens[name]
            self.switch_mode(self.DEFAULT_MODE if name == self._opening.view else name)
            self._tell_current()

    def _filtered(self, screen: ViewScreen) -> ViewScreen:
        """Return a screen that lists what was asked for when the console was started, if anything was."""
        if self._opening.filter_text and isinstance(screen, ListingScreen):
            screen.filter_by(self._opening.filter_text)
        return screen

    def action_retune(self, what: str) -> None:
        self._desk.retune(what, self._records.state.view(self._clock.now_s()))

    def on_stalls_panel_fix_asked(self, message: StallsPanel.FixAsked) -> None:
        self._fix(message.stall)

    def on_stalls_panel_explained(self, message: StallsPanel.Explained) -> None:
        """Take a stall apart, and go on to what is wanted then."""
        from sarathictl.tui.screens.explain import ExplainScreen, Wish  # deferred: it would hold the first picture up

        stall = message.stall

        def act(wish: Wish | None) -> None:
            match wish:
                case Wish.FIX:
                    self._fix(stall)
                case Wish.CAUSE if stall.chunk is not None:
                    self._desk.explain_request(stall.chunk.request_id)
                case Wish.MOMENT:
                    self.action_view(View.LIVE)
                    self._go_to(stall.time_s)

        self.push_screen(ExplainScreen(stall, self.look), act)

    def _fix(self, stall: StallEvent) -> None:
        self._desk.fix(stall, self._records.state.view(self._clock.now_s()))

    def action_keep(self) -> None:
        self._desk.keep()

    def action_undo(self) -> None:
        self._desk.undo(self._records.state.revision)

    def action_why(self) -> None:
        self._desk.explain_budget()

    def on_requests_panel_explained(self, message: RequestsPanel.Explained) -> None:
        self._desk.explain_request(message.request_id)

    def on_requests_panel_follow_asked(self, message: RequestsPanel.FollowAsked) -> None:
        self._follow(self._followed ^ {message.request_id})

    def action_cancel_request(self) -> None:
        self._desk.cancel(self._current.marked_request)

    def action_pause_or_resume(self) -> None:
        state = self._records.state
        self._desk.pause_or_resume(self._daemon_name, state.daemon_state, state.num_in_flight)

    def action_drain(self) -> None:
        self._desk.drain(self._daemon_name, self._records.state.num_in_flight)

    def action_copy(self) -> None:
        """Put the command that prints what the screen shows into the terminal's clipboard."""
        self._copy(self._current.command)

    def on_command_asked(self, message: CommandAsked) -> None:
        self._copy(message.command)

    def _copy(self, command: str) -> None:
        text = f"{self._program} {command}"
        self.copy_to_clipboard(text)
        self.notify(f"copied: {text}", markup=False)

    def action_export(self) -> None:
        name = f"sarathictl-{time.strftime('%Y%m%d-%H%M%S')}.svg"
        self.notify(f"saved {self.save_screenshot(name, str(self._export_dir))}", markup=False)

    def action_next_theme(self) -> None:
        self._hurry()
        names = [theme.name for theme in THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)]
        self.call_after_refresh(self._show, is_urgent=True)

    def action_change_rate(self, step: int) -> None:
        self._hurry()
        self._set_rate(next_rate_hz(self._rate_hz, step))
        self._show(is_urgent=True)

    def _set_rate(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._ticker.stop()
        self._ticker = self.set_interval(1.0 / rate_hz, self.tick)

    def _begin_file(self) -> TapeFile:
        self._records.seal()
        path = self._export_dir / f"sarathictl-{time.strftime('%Y%m%d-%H%M%S')}{SUFFIX}"
        return TapeFile(path, TapeHeader.now(self._wall_offset_s), self._records.end_s)

    def _end_file(self, file: TapeFile) -> None:
        self._saving = None
        with file:
            self._records.seal()
            file.append(self._records.frames)
        self.notify(f"recorded {file.path}", markup=False)

    def _save(self) -> None:
        """Write what was sealed since the last tick to the file that is being recorded, if one is."""
        if self._saving is None:
            return
        try:
            self._saving.append(self._records.frames[-2:])
        except OSError as error:
            self._saving.close()
            self._saving = None
            self.notify(f"the recording stopped: {error.strerror}", severity="error", markup=False)

    def _follow_history(self, view: EngineView) -> None:
        """Ask for the revisions when they may have changed; before the first change few need them."""
        is_wanted = bool(view.changes) or self._current.shows_audit
        if is_wanted and view.settings is not None and self._history.is_due(view.settings.revision, view.now_s):
            self._desk.request(GetHistory(), History, self._take_history, "no history")
            if self._current.shows_audit:
                self._desk.request(GetAudit(), AuditTrail, self._take_audit, "no audit log")

    def _see_status(self, status: Status) -> None:
        """Take note of whether the daemon records, and what it lets us do, never more than was asked for."""
        self._is_recorded = status.recorder is None or status.recorder.is_recording
        granted = status.role
        role = min((granted, self._limit), key=list(Role).index) if granted is not None else None
        if role is not self._role:
            self._role = role
            self.refresh_bindings()

    def _follow_fleet(self, now_s: float) -> None:
        """Ask every daemon how it is, now and then, while a screen shows it."""
        is_due = self._fleet_asked_s is None or now_s - self._fleet_asked_s >= FLEET_EVERY_S
        if self._current.shows_fleet and self._ask_fleet is not None and is_due:
            self._fleet_asked_s = now_s
            self._desk.work(self._ask_fleet, self._current.see_fleet)

    def _follow(self, request_ids: frozenset[int]) -> None:
        self._followed = request_ids
        self._current.see_followed(request_ids)

    def _tell_end(self, ended: RequestStats) -> None:
        self._follow(self._followed - {ended.request_id})
        self.notify(end_in_words(ended), markup=False)

    def _take_history(self, history: History) -> None:
        self._history.revisions = history.revisions
        self._current.see_history(history.revisions)

    def _take_audit(self, audit: AuditTrail) -> None:
        self._current.see_audit(audit.entries)

    def _tell_current(self) -> None:
        """Show in a screen that comes up what is known already."""
        self._current.see_history(self._history.revisions)
        self._current.see_followed(self._followed)
        if self._current.shows_audit:
            self._history.forget()
        self._show(is_urgent=True)

    def _look_for_alerts(self, view: EngineView, now_s: float) -> tuple[Alert, ...]:
        """Look at what happens now, whichever moment is shown."""
        now = view if self._playhead.is_live else self._records.state.view(now_s)
        if (failure := self._alerts.take_failure()) is not None:
            self.notify(f"the alert's command failed: {failure}", severity="error", markup=False)
        return self._alerts.look(now, self._source.link, self.bell, self._wall_offset_s)

    def _show(self, *, is_urgent: bool = False) -> None:
        view = self._playhead.view()
        link, now_s = self._source.link, self._clock.now_s()
        if not self._is_recording:
            self._follow_history(view)
            self._follow_fleet(now_s)
        watch = Watch(
            link=link,
            now_s=view.now_s if self._is_recording else now_s,
            wall_offset_s=self._wall_offset_s,
            rate_hz=self._rate_hz,
            is_slowed=self._is_slowed,
            paused_s=None if self._playhead.is_live or self._is_recording else view.now_s,
            transport=self._playhead.transport,
            saved_s=None if self._saving is None else now_s - self._saving.start_s,
            role=self._role if self._role is not None or self._limit is Role.ADMIN else self._limit,
            is_recorded=self._is_recorded,
            alerts=self._look_for_alerts(view, now_s),
            daemon=self._daemon,
        )
        alarms = tuple(alert.name for alert in watch.alerts)
        news = (self._records.state.revision, link.state, self._playhead.is_live, alarms)
        self._current.show(view, watch, self.look, is_urgent=is_urgent or news != self._shown)
        self._shown = news
        if self._twin is not None and (other := self._twin.view(view.now_s)) is not None:
            self._current.see_twin(other)
        if self._records.state.revision is not None:
            self._desk.see_revision(self._records.state.revision)
