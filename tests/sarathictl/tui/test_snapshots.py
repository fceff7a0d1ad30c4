"""Whole screens as text, one golden file each; written anew with `UPDATE_GOLDEN=1`."""

import os
from pathlib import Path

import pytest

from sarathictl.client.fleet import Answer
from sarathictl.client.stats_stream import Link, LinkState
from sarathictl.tui.app import ConsoleApp
from sarathictl.tui.numbered_screens import SCREENS
from sarathid.clock import VirtualClock
from tests.sarathictl.records import START_S, make_settings, make_status
from tests.sarathictl.revisions import make_revision
from tests.sarathictl.tui.bench import Bench, Operator, PostedSource, until

GOLDEN = Path(__file__).parent.parent / "golden" / "screens"
SIZES = [(80, 24), (120, 36), (200, 60), (50, 14)]
FLEET = [
    Answer("prod-1", make_status()),
    Answer("prod-2", make_status(make_settings(512, tbt_s=0.05))),
    Answer("prod-3", None, "no daemon answers at /run/prod-3/control.sock"),
]

pytestmark = pytest.mark.usefixtures("utc")


def screen_text(app: ConsoleApp) -> str:
    strips = app.screen._compositor.render_strips()
    return "".join(f"{strip.text.rstrip()}\n" for strip in strips)


def check_golden(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("screen", SCREENS)
async def test_a_screen_over_a_live_engine(tmp_path: Path, screen: str, width: int, height: int) -> None:
    bench = Bench(tmp_path, ask_fleet=lambda: FLEET)
    bench.operator.history = (make_revision(1), make_revision(2))
    async with bench.app.run_test(size=(width, height)) as pilot:
        bench.app.action_view(screen)
        await pilot.pause()
        await bench.app.workers.wait_for_complete()
        await pilot.pause()
        text = screen_text(bench.app)
    assert all(len(line) <= width for line in text.splitlines())
    check_golden(f"{screen}-{width}x{height}", text)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("state", [LinkState.DOWN, LinkState.SILENT, LinkState.FROZEN, LinkState.FOREIGN])
async def test_the_live_screen_over_a_lost_engine(tmp_path: Path, state: LinkState, width: int, height: int) -> None:
    bench = Bench(tmp_path)
    bench.source.link = Link(state, bench.clock.now_s() - 5.0, f"the daemon is {state}")
    async with bench.app.run_test(size=(width, height)) as pilot:
        await pilot.pause()
        check_golden(f"{state}-{width}x{height}", screen_text(bench.app))


@pytest.mark.parametrize(("width", "height"), SIZES)
async def test_the_live_screen_before_anything_is_known(width: int, height: int) -> None:
    source = PostedSource()
    source.link = Link(LinkState.CONNECTING, START_S)
    app = ConsoleApp(source, Operator(), Operator(), clock=VirtualClock(START_S), wall_offset_s=0.0)
    async with app.run_test(size=(width, height)) as pilot:
        await until(pilot, lambda: "CONNECTING" in screen_text(app))
        check_golden(f"empty-{width}x{height}", screen_text(app))
