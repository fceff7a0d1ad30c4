"""The console under a pilot: keys, dialogs and links, with posted records and no socket."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from textual.css import stylesheet
from textual.css.model import RuleSet
from textual.css.parse import parse

from sarathictl.client.stats_stream import Link, LinkState
from sarathictl.state.opening import Opening
from sarathictl.state.outflow import Outflow
from sarathictl.tui.app import ConsoleApp
from sarathictl.tui.screens.confirm import ConfirmScreen
from sarathictl.tui.screens.live import LiveScreen
from sarathid.clock import VirtualClock
from sarathid.errors import NotReachable
from sarathid.protocol.control import Cancel, ExplainBudget, ExplainRequest
from sarathid.protocol.stats import IterationStats
from sarathid.protocol.why import BudgetReasons, RequestReasons
from sarathid.tape.tape import Tape
from tests.sarathictl.reasons import make_budget_reasons, make_request_reasons
from tests.sarathictl.records import START_S, PaperEngine, make_settings
from tests.sarathictl.tui.bench import Bench, Operator, PostedSource, changed, facts_of, until
from tests.sarathictl.tui.screen_text import screen_text

pytestmark = pytest.mark.usefixtures("utc")

SIZES = [(200, 60), (120, 36), (80, 24), (60, 16), (40, 12)]


@pytest.mark.parametrize("size", SIZES)
async def test_the_first_picture_has_data_at_every_size(bench: Bench, size: tuple[int, int]) -> None:
    async with bench.app.run_test(size=size) as pilot:
        await pilot.pause()
        assert bench.says("323")
        assert bench.says("prefill of 10")


async def test_ascii_alone_reaches_the_terminal_when_asked(tmp_path: Path) -> None:
    bench = Bench(tmp_path, has_color=False, is_ascii=True)
    async with bench.app.run_test(size=(80, 24)) as pilot:
        for keys in ("1", "2", "3", "4", "5", "6", "7", "question_mark", "escape b", "escape ctrl+p", "escape D"):
            await pilot.press(*keys.split())
            await pilot.pause()
            assert screen_text(bench.app).isascii(), screen_text(bench.app)


async def test_another_theme_looks_as_if_the_console_had_come_up_in_it(tmp_path: Path) -> None:
    pictures = []
    for opening, keys in ((Opening(theme="dark"), ("t",)), (Opening(theme="light"), ())):
        bench = Bench(tmp_path, opening=opening)
        async with bench.app.run_test(size=(120, 36)) as pilot:
            await pilot.pause()
            await pilot.press(*keys)
            await pilot.pause()
            assert bench.app.theme == "light"
            pictures.append(bench.app.screen._compositor.render_strips())
    assert pictures[0] == pictures[1]


async def test_a_slow_terminal_gets_few_pictures_in_few_colours_until_somebody_wants_more(tmp_path: Path) -> None:
    clock = VirtualClock()
    outflow = Outflow(clock)
    bench = Bench(tmp_path, outflow=outflow)
    async with bench.app.run_test(size=(120, 36)) as pilot:
        outflow.begin()
        clock.advance(2.0)
        bench.app.tick()
        await pilot.pause()
        assert not bench.says("SLOW LINK")  # it would wait, too
        outflow.end(1000)
        bench.app.tick()
        await pilot.pause()
        assert bench.says("SLOW LINK  ● LIVE 1 Hz")
        assert bench.app.theme == "ansi"
        await pilot.press("plus")
        await pilot.pause()
        assert bench.says("● LIVE 2 Hz")
        assert not bench.says("SLOW LINK")
        bench.app.tick()
        assert not bench.says("SLOW LINK")


async def test_space_holds_the_picture_while_records_are_taken_in(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("space")
        assert bench.says("PAUSED")
        bench.source.post(changed(make_settings(32, revision=9)))
        bench.clock.advance(5.0)
        bench.app.tick()
        await pilot.pause()
        assert bench.says("budget 256 (r1)")
        assert bench.says("PAUSED −5 s")
        await pilot.press("space")
        assert bench.says("budget 32")
        assert not bench.says("PAUSED")


async def test_the_arrow_keys_go_back_and_end_returns_to_now(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 36)) as pilot:
        bench.clock.advance(1.0)
        await pilot.press("left", "left")
        await until(pilot, lambda: bench.says("‖ 1x"))
        assert bench.says("PAUSED −1")
        await pilot.press("shift+left", "N", "home")
        assert bench.says("‖ 1x")
        assert bench.says(" 0 ms of")
        await pilot.press("end")
        assert not bench.says("PAUSED")
        assert not bench.says("‖ 1x")


async def test_r_records_what_comes_to_a_file_until_it_is_pressed_again(bench: Bench, tmp_path: Path) -> None:
    async with bench.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("r")
        engine = PaperEngine(make_settings(256))
        newer = [record for record in engine.run(START_S + 12.0) if getattr(record, "start_s", 0.0) > START_S + 9.0]
        bench.source.post(*newer)
        bench.clock.advance(4.0)
        bench.app.tick()
        await pilot.pause()
        assert bench.says("rec ●")
        await pilot.press("r")
        assert not bench.says("rec ●")
    (path,) = tmp_path.glob("*.srec")
    recorded = [record for segment in Tape.read(path).segments() for record in segment.records]
    assert len([record for record in recorded if isinstance(record, IterationStats)]) == len(newer) // 2


async def test_w_explains_the_budget_and_enter_a_marked_request(bench: Bench) -> None:
    bench.operator.answers = {BudgetReasons: make_budget_reasons(), RequestReasons: make_request_reasons()}
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: "612 tokens an iteration, auto" in facts_of(bench.app.screen))
        await pilot.press("escape", "tab", "down", "enter")
        await until(pilot, lambda: "17 of web-7, decode" in facts_of(bench.app.screen))
        assert bench.operator.asked == [ExplainBudget(), ExplainRequest(request_id=1)]
        await pilot.press("escape")
        assert isinstance(bench.app.screen, LiveScreen)


async def test_a_daemon_that_does_not_explain_is_said(bench: Bench) -> None:
    bench.operator.refusal = NotReachable("no daemon answers at control.sock")
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: "no daemon answers" in facts_of(bench.app.screen))


async def test_a_marked_stall_stays_marked_while_newer_ones_come(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("down", "down")
        (marked,) = [line for line in bench.lines() if line.startswith("▶")]
        engine = PaperEngine(make_settings(256))
        newer = [record for record in engine.run(START_S + 14.0) if getattr(record, "time_s", 0.0) > START_S + 8.5]
        bench.source.post(*newer)
        bench.clock.advance(6.0)
        bench.app.tick()
        await pilot.press("up", "down")
        assert marked in bench.lines()


async def test_a_request_is_cancelled_only_after_yes(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("tab", "down", "K")
        assert isinstance(bench.app.screen, ConfirmScreen)
        await pilot.press("n")
        assert bench.operator.asked == []
        await pilot.press("K", "y")
        await until(pilot, lambda: bench.operator.asked == [Cancel(request_id=1)])


def colors_of(app: ConsoleApp, words: str) -> set[str]:
    """Return the colours in which the screen says something."""
    segments = (segment for strip in app.screen._compositor.render_strips() for segment in strip)
    return {str(segment.style.color) for segment in segments if words in segment.text and segment.style}


async def test_a_lost_daemon_is_said_and_its_return_is_seen(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        bright = colors_of(bench.app, "ITERATIONS"), colors_of(bench.app, "budget 256")
        bench.source.link = Link(LinkState.DOWN, bench.clock.now_s(), "no daemon answers")
        bench.app.tick()
        await pilot.pause()
        assert bench.says("DISCONNECTED")
        assert bench.says("no daemon answers")
        faded = colors_of(bench.app, "ITERATIONS"), colors_of(bench.app, "budget 256")
        assert not faded[0] & bright[0]
        assert not faded[1] & bright[1]
        bench.source.link = Link(LinkState.LIVE, bench.clock.now_s())
        bench.app.tick()
        await pilot.pause()
        assert bench.says("● LIVE")
        assert (colors_of(bench.app, "ITERATIONS"), colors_of(bench.app, "budget 256")) == bright


async def test_an_engine_that_is_not_ready_cannot_be_retuned(tmp_path: Path) -> None:
    app = ConsoleApp(PostedSource(), Operator(), Operator(), clock=VirtualClock(START_S), wall_offset_s=0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("b")
        assert isinstance(app.screen, LiveScreen)


async def test_style_sheets_are_read_once_while_the_theme_stays(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def note(scope: str, css: str, *where: Any, **options: Any) -> Iterable[RuleSet]:
        read.append(css)
        return parse(scope, css, *where, **options)

    monkeypatch.setattr(stylesheet, "parse", note)
    async with bench.app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        assert len(set(read)) == len(read) > 3
        await pilot.press("t")
        await pilot.pause()
        assert read.count(read[0]) == 2
