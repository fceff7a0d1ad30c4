"""A recording on the screens (golden files as in `test_snapshots`), alone and beside its twin, and what its keys do."""

import pytest

from sarathictl.tui.screens.compare import CompareScreen
from sarathictl.tui.screens.live import LiveScreen
from sarathictl.tui.widgets.compared_tapes import NamedTapePanel
from tests.sarathictl.paper_tape import idle_tape
from tests.sarathictl.records import START_S
from tests.sarathictl.tui.bench import Bench, until
from tests.sarathictl.tui.replayed import BEHIND_S, Replayed
from tests.sarathictl.tui.screen_text import screen_text
from tests.sarathictl.tui.test_snapshots import SIZES, check_golden

pytestmark = pytest.mark.usefixtures("utc")


@pytest.mark.parametrize(("width", "height"), SIZES)
async def test_a_recording_beside_its_twin_at_its_first_stall(width: int, height: int) -> None:
    replayed = Replayed(has_twin=True)
    async with replayed.app.run_test(size=(width, height)) as pilot:
        await replayed.until_read(pilot)
        await pilot.press("n", "right", "right")
        await pilot.pause()
        text = screen_text(replayed.app)
    assert all(len(line) <= width for line in text.splitlines())
    check_golden(f"compare-{width}x{height}.txt", text)


async def test_a_recording_is_played_as_fast_as_is_wanted_and_again_between_two_moments() -> None:
    replayed = Replayed()
    async with replayed.app.run_test(size=(120, 36)) as pilot:
        await replayed.until_read(pilot)
        playhead = replayed.app._playhead
        await pilot.press("greater_than_sign", "space")
        await until(pilot, lambda: playhead.transport is not None and playhead.transport.is_playing)
        replayed.clock.advance(1.5)
        replayed.app.tick()
        assert playhead.now_s == START_S + 3.0
        await pilot.press("a")
        await until(pilot, lambda: playhead.transport is not None and len(playhead.transport.loop) == 1)
        replayed.clock.advance(1.0)
        replayed.app.tick()
        await pilot.press("a")
        await until(pilot, lambda: playhead.transport is not None and len(playhead.transport.loop) == 2)
        replayed.clock.advance(0.25)
        replayed.app.tick()
        assert START_S + 3.0 <= playhead.now_s < START_S + 4.0


async def test_nothing_of_a_recording_can_be_changed_or_asked() -> None:
    replayed = Replayed()
    async with replayed.app.run_test(size=(120, 36)) as pilot:
        await replayed.until_read(pilot)
        for action in ("retune", "why", "keep", "undo", "cancel_request", "record", "drain", "compare"):
            assert replayed.app.check_action(action, ()) is False
        await pilot.press("b", "8")
        assert isinstance(replayed.app.screen, LiveScreen)


async def test_both_tapes_show_the_same_moment_wherever_it_lies() -> None:
    replayed = Replayed(has_twin=True)
    async with replayed.app.run_test(size=(120, 36)) as pilot:
        await replayed.until_read(pilot)
        screen = replayed.app.screen
        assert isinstance(screen, CompareScreen)
        observed, twin = screen.query(NamedTapePanel)
        for keys in (["n"], ["shift+right"], ["right", "right"], ["end"], ["home"]):
            await pilot.press(*keys)
            await pilot.pause()
            assert observed.view is not None and twin.view is not None
            seconds = observed.view.now_s - START_S
            assert twin.view.now_s == pytest.approx(START_S - BEHIND_S + seconds, abs=0.2)
        await pilot.press("n")
        await pilot.pause()
        assert twin.view is not None
        assert {sample.token_budget for sample in twin.view.samples} == {128}
        await pilot.press("z")
        assert observed.zoom_s == twin.zoom_s


async def test_eight_goes_back_to_the_comparison() -> None:
    replayed = Replayed(has_twin=True)
    async with replayed.app.run_test(size=(120, 36)) as pilot:
        await replayed.until_read(pilot)
        await pilot.press("1")
        assert isinstance(replayed.app.screen, LiveScreen)
        await pilot.press("8")
        assert isinstance(replayed.app.screen, CompareScreen)


async def test_an_empty_list_says_why_it_is(bench: Bench) -> None:
    replayed = Replayed(tape=idle_tape())
    async with replayed.app.run_test(size=(120, 36)) as pilot:
        await replayed.until_read(pilot)
        await until(pilot, lambda: "no request was there at this moment" in screen_text(replayed.app))
    async with bench.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("slash", *"nobody", "enter")
        await until(pilot, lambda: "none of 10 requests passes the filter" in screen_text(bench.app))
