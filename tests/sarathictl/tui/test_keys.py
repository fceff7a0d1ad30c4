"""Every key of the key map under a pilot: a key without a case here fails, as does one that does nothing."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from sarathictl.keymap import KEYMAP, LINE, Place
from sarathictl.tui.screens.compare import CompareScreen
from sarathictl.tui.screens.confirm import ConfirmScreen
from sarathictl.tui.screens.drain import DrainScreen
from sarathictl.tui.screens.events import EventsScreen
from sarathictl.tui.screens.explain import ExplainScreen
from sarathictl.tui.screens.fleet import FleetScreen
from sarathictl.tui.screens.go_to import GoToScreen
from sarathictl.tui.screens.help import HelpScreen
from sarathictl.tui.screens.latency import LatencyScreen
from sarathictl.tui.screens.live import LiveScreen
from sarathictl.tui.screens.requests import RequestsScreen
from sarathictl.tui.screens.retune import RetuneScreen
from sarathictl.tui.screens.stalls import StallsScreen
from sarathictl.tui.screens.tuning import TuningScreen
from sarathictl.tui.screens.why import WhyScreen
from sarathictl.tui.widgets.panel import Panel
from sarathictl.tui.widgets.tape import TapePanel
from sarathid.protocol.control import (
    Cancel,
    DaemonState,
    Drain,
    ExplainBudget,
    ExplainRequest,
    Keep,
    Pause,
    Paused,
    Resume,
    Resumed,
)
from sarathid.protocol.stats import LifeCycle
from sarathid.protocol.why import BudgetReasons, RequestReasons
from tests.sarathictl.reasons import make_budget_reasons, make_request_reasons
from tests.sarathictl.records import START_S, make_settings
from tests.sarathictl.revisions import make_revision
from tests.sarathictl.tui.bench import Bench, changed, until
from tests.sarathictl.tui.replayed import Replayed
from tests.sarathictl.tui.screen_text import screen_text

pytestmark = pytest.mark.usefixtures("utc")


@dataclass(frozen=True)
class Case:
    """Press `before`, then the key: what `watch` sees must change as `is_right` says; then press `after`."""

    place: Place
    key: str
    watch: Callable[[Any], Any]
    is_right: Callable[[Any, Any], bool] = operator.ne
    before: str = ""
    after: str = ""


def screen(bench: Bench | Replayed) -> Any:
    return type(bench.app.screen)


def becomes(wanted: Any) -> Callable[[Any, Any], bool]:
    return lambda before, after: before != wanted and bool(after == wanted)


def held_s(bench: Bench) -> float:
    return bench.app._playhead.now_s


def is_paused(bench: Bench) -> bool:
    return not bench.app._playhead.is_live


def rate(bench: Bench) -> float:
    return bench.app._rate_hz


def tape(bench: Bench) -> tuple[Any, float]:
    panel = bench.app.screen_stack[0].query_one(TapePanel)
    return panel.axis, panel.zoom_s


def title(bench: Bench) -> str:
    return str(bench.app.screen_stack[0].query_one("#requests, #table, #happenings", Panel).border_title)


def marked(bench: Bench) -> list[str]:
    return [line for line in bench.lines() if line.startswith("▶")]


def shown(bench: Bench) -> list[str]:
    panel = bench.app.screen.query_one("#happenings", Panel)
    return [panel.render_line(y).text for y in range(panel.size.height)]


def value(bench: Bench) -> str:
    return bench.app.screen.query(Input).first().value


def last_asked(bench: Bench) -> Any:
    return bench.operator.asked[-1] if bench.operator.asked else None


def num_asked(kind: type[Any]) -> Callable[[Bench], int]:
    return lambda bench: sum(isinstance(op, kind) for op in bench.operator.asked)


def clipboard(bench: Bench) -> str:
    return bench.app.clipboard


def saved(suffix: str) -> Callable[[Bench], int]:
    return lambda bench: len(list(bench.app._export_dir.glob(f"*{suffix}")))


CASES = (
    Case(Place.EVERYWHERE, "question_mark", screen, becomes(HelpScreen), after="escape"),
    Case(Place.EVERYWHERE, "2", screen, becomes(RequestsScreen)),
    Case(Place.EVERYWHERE, "3", screen, becomes(StallsScreen)),
    Case(Place.EVERYWHERE, "4", screen, becomes(LatencyScreen)),
    Case(Place.EVERYWHERE, "5", screen, becomes(TuningScreen)),
    Case(Place.EVERYWHERE, "6", screen, becomes(FleetScreen)),
    Case(Place.EVERYWHERE, "7", screen, becomes(EventsScreen)),
    Case(Place.EVERYWHERE, "1", screen, becomes(LiveScreen)),
    Case(Place.EVERYWHERE, "ctrl+p", screen, becomes(CommandPalette), after="escape"),
    Case(Place.EVERYWHERE, "tab", lambda bench: bench.app.focused, after="tab"),
    Case(Place.EVERYWHERE, "w", screen, becomes(WhyScreen), after="escape"),
    Case(Place.EVERYWHERE, "y", clipboard, becomes("sarathictl top")),
    Case(Place.EVERYWHERE, "e", saved("svg")),
    Case(Place.EVERYWHERE, "t", lambda bench: bench.app.theme, after="t t t"),
    Case(Place.EVERYWHERE, "plus", rate, operator.lt),
    Case(Place.EVERYWHERE, "minus", rate, operator.gt),
    Case(Place.EVERYWHERE, "equals_sign", rate, operator.lt, after="minus"),
    Case(Place.TIME, "space", is_paused, becomes(True), after="space"),
    Case(Place.TIME, "left", held_s, operator.gt, before="space left"),
    Case(Place.TIME, "right", held_s, operator.lt),
    Case(Place.TIME, "shift+left", held_s, lambda before, after: abs(before - after - 1.0) < 1e-6),
    Case(Place.TIME, "shift+right", held_s, lambda before, after: abs(after - before - 1.0) < 1e-6),
    Case(Place.TIME, "N", held_s, operator.gt, before="N"),
    Case(Place.TIME, "n", held_s, operator.lt),
    Case(Place.TIME, "right_curly_bracket", held_s, operator.lt, before="home"),
    Case(Place.TIME, "left_curly_bracket", held_s, operator.gt, before="end space"),
    Case(Place.TIME, "ctrl+o", screen, becomes(GoToScreen)),
    Case(Place.GO_TO, "escape", screen, becomes(LiveScreen)),
    Case(Place.TIME, "home", held_s, operator.gt),
    Case(Place.TIME, "end", is_paused, becomes(False)),
    Case(Place.TIME, "r", saved("srec"), after="r"),
    Case(Place.CHANGES, "b", screen, becomes(RetuneScreen), after="escape"),
    Case(Place.CHANGES, "o", screen, becomes(RetuneScreen), after="escape"),
    Case(Place.CHANGES, "p", screen, becomes(RetuneScreen), after="escape"),
    Case(Place.CHANGES, "k", last_asked, becomes(Keep())),
    Case(Place.CHANGES, "u", screen, becomes(ConfirmScreen), after="escape"),
    Case(Place.CHANGES, "K", screen, becomes(ConfirmScreen), before="tab down", after="escape tab"),
    Case(Place.CHANGES, "P", screen, becomes(ConfirmScreen), after="escape"),
    Case(Place.CHANGES, "D", screen, becomes(DrainScreen), after="escape"),
    Case(Place.LIVE, "x", tape, after="x"),
    Case(Place.TAPE, "z", tape),
    Case(Place.TAPE, "Z", tape),
    Case(Place.REQUESTS, "s", title),
    Case(Place.REQUESTS, "S", title),
    Case(Place.REQUESTS, "slash", lambda bench: isinstance(bench.app.focused, Input), becomes(True)),
    Case(Place.REQUESTS, "escape", title, before="s t a t e : d e c o d e enter slash", after="tab"),
    Case(Place.STALL_LIST, "down", marked),
    Case(Place.STALL_LIST, "up", marked, before="down"),
    Case(Place.STALL_LIST, "escape", marked),
    Case(Place.STALL_LIST, "enter", screen, becomes(ExplainScreen), after="escape"),
    Case(Place.STALL_LIST, "f", screen, becomes(RetuneScreen), after="escape"),
    Case(Place.REQUEST_LIST, "down", marked, before="2 tab"),
    Case(Place.REQUEST_LIST, "up", marked),
    Case(Place.REQUEST_LIST, "m", lambda bench: bench.app._followed, after="m"),
    Case(Place.REQUEST_LIST, "enter", screen, becomes(WhyScreen), after="escape 1"),
    Case(Place.CHANGE_LIST, "down", marked, before="5"),
    Case(Place.CHANGE_LIST, "up", marked),
    Case(Place.CHANGE_LIST, "escape", marked, before="down"),
    Case(Place.EVENT_LIST, "down", shown, before="7"),
    Case(Place.EVENT_LIST, "up", shown),
    Case(Place.EVENT_LIST, "pagedown", shown),
    Case(Place.EVENT_LIST, "pageup", shown, before="down"),
    Case(Place.EVENT_LIST, "escape", shown),
    Case(Place.EVENT_LIST, "s", title, after="1"),
    Case(Place.VALUE, "right", value, becomes("257"), before="b"),
    Case(Place.VALUE, "left", value, becomes("256")),
    Case(Place.VALUE, "shift+right", value, becomes("257")),
    Case(Place.VALUE, "shift+left", value, becomes("256")),
    Case(Place.VALUE, "a", value, becomes("auto")),
    Case(Place.VALUE, "p", value, becomes("profiled")),
    Case(Place.CHANGE, "ctrl+y", clipboard, becomes("sarathictl set-budget profiled --if-rev 1 --confirm 60s")),
    Case(Place.CHANGE, "ctrl+t", lambda bench: bench.app.screen.query_one("#forecast").display, becomes(False)),
    Case(Place.CHANGE, "escape", screen, becomes(LiveScreen)),
    Case(Place.QUESTION, "ctrl+y", clipboard, becomes("sarathictl cancel 1"), before="tab K"),
    *(Case(Place.QUESTION, key, screen, becomes(LiveScreen), after="K") for key in ("n", "escape", "enter", "q")),
    Case(Place.QUESTION, "y", num_asked(Cancel), after="tab"),
    *(Case(Place.STALL, key, screen, becomes(LiveScreen), "enter") for key in ("escape", "enter", "q")),
    Case(Place.STALL, "r", last_asked, lambda _, asked: isinstance(asked, ExplainRequest), "enter", "escape"),
    Case(Place.STALL, "t", is_paused, becomes(True), before="enter", after="end"),
    Case(Place.STALL, "f", screen, becomes(RetuneScreen), before="enter", after="escape"),
    Case(Place.REASONS, "w", num_asked(ExplainBudget), before="w"),
    *(Case(Place.REASONS, key, screen, becomes(LiveScreen), after="w") for key in ("escape", "enter", "q")),
    *(
        Case(Place.HELP, key, screen, becomes(LiveScreen), before="question_mark")
        for key in ("escape", "enter", "q", "question_mark")
    ),
    Case(Place.DRAIN, "ctrl+y", clipboard, becomes("sarathictl drain"), before="D"),
    Case(Place.DRAIN, "escape", screen, becomes(LiveScreen)),
)
REPLAY_CASES = (
    Case(Place.EVERYWHERE, "8", screen, becomes(CompareScreen), before="1", after="1"),
    Case(Place.TIME, "greater_than_sign", lambda bench: bench.app._playhead._speed, operator.lt),
    Case(Place.TIME, "less_than_sign", lambda bench: bench.app._playhead._speed, operator.gt),
    Case(Place.TIME, "a", lambda bench: len(bench.app._playhead._loop), operator.lt),
)
ENDING = {(Place.EVERYWHERE, "q"), (Place.EVERYWHERE, "ctrl+c")}


async def failures_of(cases: Sequence[Case], bench: Bench | Replayed, pilot: Pilot[Any]) -> list[str]:
    """Try one case after another in the same app; return what did not come of them."""
    failures = []
    for case in cases:
        await pilot.press(*case.before.split())
        await bench.app.workers.wait_for_complete()
        before = case.watch(bench)
        await pilot.press(case.key)
        try:
            await until(pilot, lambda: case.is_right(before, case.watch(bench)))  # noqa: B023
        except AssertionError:
            failures.append(f"{case.place}: {case.key} leads from {before} to {case.watch(bench)}")
        await pilot.press(*case.after.split())
    return failures


def test_every_key_of_the_map_is_tried() -> None:
    keys = {(entry.place, name) for entry in KEYMAP for key in entry.keys for name in key.name.split(",")}
    assert {(case.place, case.key) for case in (*CASES, *REPLAY_CASES)} | ENDING == keys


def test_the_line_of_keys_names_actions_that_there_are() -> None:
    assert set(LINE) <= {key.action for entry in KEYMAP for key in entry.keys}


async def test_every_key_does_something(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.operator.history = (make_revision(1), make_revision(2))
    bench.operator.answers = {BudgetReasons: make_budget_reasons(), RequestReasons: make_request_reasons()}
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        bench.source.post(changed(make_settings(256)))
        bench.clock.advance(1.0)
        assert await failures_of(CASES, bench, pilot) == []


async def test_every_key_of_a_replay_does_something() -> None:
    replayed = Replayed(has_twin=True)
    async with replayed.app.run_test(size=(80, 24)) as pilot:
        await replayed.until_read(pilot)
        assert await failures_of(REPLAY_CASES, replayed, pilot) == []


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_it_ends(bench: Bench, key: str) -> None:
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.press(key)
        await until(pilot, lambda: not bench.app.is_running)


async def test_the_palette_does_what_is_chosen_by_its_words(bench: Bench) -> None:
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+p", *"latency targets")
        found = bench.app.screen.query_one(OptionList)
        await until(pilot, lambda: found.option_count > 0 and "SLO" in str(found.get_option_at_index(0).prompt))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(bench.app.screen, RetuneScreen))
        assert bench.app.screen.query_one("#dialog").border_title == "LATENCY TARGETS"


async def test_a_daemon_is_paused_and_resumed_by_the_same_key(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.operator.answers = {Paused: Paused(num_in_flight=9), Resumed: Resumed(state=DaemonState.READY)}
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("P", "y")
        await until(pilot, lambda: isinstance(last_asked(bench), Pause))
        bench.source.post(LifeCycle(time_s=START_S + 9.0, state="paused", message="paused"))
        bench.clock.advance(1.0)
        await until(pilot, lambda: "TAKES NOTHING NEW" in screen_text(bench.app))
        await pilot.press("P", "y")
        await until(pilot, lambda: isinstance(last_asked(bench), Resume))


async def test_a_daemon_is_drained_only_by_its_name(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("D", *"yes", "enter")
        assert isinstance(bench.app.screen, DrainScreen)
        bench.app.screen.query_one(Input).value = "this daemon"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(last_asked(bench), Drain))
