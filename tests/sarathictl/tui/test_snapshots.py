"""Whole screens as text, in every state and size, fed by a recording under a clock that stands still.

Golden files hold all seven screens; of a state other than live, the lines that differ from it. `UPDATE_GOLDEN=1` writes
them anew.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from textual.pilot import Pilot

from sarathictl.client.fleet import Answer
from sarathictl.client.stats_stream import Link, LinkState
from sarathictl.state.opening import Opening, View
from sarathictl.tui.app import ConsoleApp
from sarathid.clock import VirtualClock
from tests.sarathictl.records import START_S, make_settings, make_status
from tests.sarathictl.revisions import make_revision
from tests.sarathictl.tui.bench import Bench, Operator, PostedSource, until
from tests.sarathictl.tui.replayed import Replayed
from tests.sarathictl.tui.screen_text import screen_text

GOLDEN = Path(__file__).parent.parent / "golden" / "screens"
SIZES = [(80, 24), (120, 36), (200, 60)]
BIG_WORDS = [(50, 14), (40, 10)]
LOST = [LinkState.DOWN, LinkState.SILENT, LinkState.FROZEN, LinkState.FOREIGN]
FLEET = [
    Answer("prod-1", make_status()),
    Answer("prod-2", make_status(make_settings(512, tbt_s=0.05))),
    Answer("prod-3", None, "no daemon answers at /run/prod-3/control.sock"),
]
Pictures = dict[View, list[str]]

pytestmark = pytest.mark.usefixtures("utc")


def check_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


async def pictures_of(app: ConsoleApp, pilot: Pilot[Any]) -> Pictures:
    """Return the lines of all seven screens, and end on the live one."""
    pictures = {}
    for view in (*View, View.LIVE):
        app.action_view(view)
        await pilot.pause()
        await app.workers.wait_for_complete()
        app.tick()
        await pilot.pause()
        pictures[view] = (await settled_text(app, pilot)).splitlines()
    width = app.size.width
    assert all(len(line) <= width for lines in pictures.values() for line in lines)
    return pictures


async def settled_text(app: ConsoleApp, pilot: Pilot[Any]) -> str:
    """Return what stands there when nothing changes any more for longer than Textual waits to lay a screen out anew."""
    before, text = "", screen_text(app)
    while text != before:
        await pilot.pause(0.02)
        before, text = text, screen_text(app)
    return text


def whole(pictures: Pictures) -> str:
    return "".join("\n".join([f"=== {view}", *lines, ""]) for view, lines in pictures.items())


def against(live: Pictures, pictures: Pictures) -> str:
    return "".join("\n".join([f"=== {view}", *different(live[view], pictures[view]), ""]) for view in View)


def different(before: list[str], after: list[str]) -> Iterator[str]:
    for number, (old, new) in enumerate(zip(before, after, strict=True), 1):
        if old != new:
            yield f"{number:>2} {new}"


@pytest.mark.parametrize(("width", "height"), SIZES)
async def test_all_screens_over_an_engine_that_lives_and_is_lost(tmp_path: Path, width: int, height: int) -> None:
    bench = Bench(tmp_path, ask_fleet=lambda: FLEET)
    bench.operator.history = (make_revision(1), make_revision(2))
    size = f"{width}x{height}.txt"
    async with bench.app.run_test(size=(width, height)) as pilot:
        await pilot.pause()
        live = await pictures_of(bench.app, pilot)
        check_golden(f"live-{size}", whole(live))
        for state in LOST:
            bench.source.link = Link(state, bench.clock.now_s() - 5.0, f"the daemon is {state}")
            check_golden(f"{state}-{size}", against(live, await pictures_of(bench.app, pilot)))
        bench.source.link = Link(LinkState.LIVE, START_S)
        bench.app.tick()
        await pilot.press("space", "N")
        bench.clock.advance(3.0)
        check_golden(f"paused-{size}", against(live, await pictures_of(bench.app, pilot)))


@pytest.mark.parametrize(("width", "height"), SIZES)
async def test_all_screens_before_anything_is_known(width: int, height: int) -> None:
    source = PostedSource()
    source.link = Link(LinkState.CONNECTING, START_S)
    app = ConsoleApp(source, Operator(), Operator(), clock=VirtualClock(START_S), wall_offset_s=0.0)
    async with app.run_test(size=(width, height)) as pilot:
        await until(pilot, lambda: "CONNECTING" in screen_text(app))
        check_golden(f"empty-{width}x{height}.txt", whole(await pictures_of(app, pilot)))


@pytest.mark.parametrize(("width", "height"), SIZES)
async def test_all_screens_over_a_recording(width: int, height: int) -> None:
    replayed = Replayed()
    async with replayed.app.run_test(size=(width, height)) as pilot:
        await replayed.until_read(pilot)
        await pilot.press("n", "right", "right")
        check_golden(f"replay-{width}x{height}.txt", whole(await pictures_of(replayed.app, pilot)))


@pytest.mark.parametrize(("width", "height"), BIG_WORDS)
async def test_big_words_where_there_is_no_room_for_panels(tmp_path: Path, width: int, height: int) -> None:
    bench = Bench(tmp_path)
    async with bench.app.run_test(size=(width, height)) as pilot:
        await pilot.pause()
        texts = [screen_text(bench.app)]
        bench.source.link = Link(LinkState.DOWN, bench.clock.now_s() - 5.0, "no daemon answers")
        bench.app.tick()
        await pilot.pause()
        texts.append(screen_text(bench.app))
        check_golden(f"big-words-{width}x{height}.txt", "===\n".join(texts))


LOOKS: dict[str, Callable[[], dict[str, Any]]] = {
    "dark": dict,
    "light": lambda: {"opening": Opening(theme="light")},
    "high-contrast": lambda: {"opening": Opening(theme="high-contrast")},
    "ansi": lambda: {"opening": Opening(theme="ansi")},
    "no-color": lambda: {"has_color": False},
    "ascii": lambda: {"has_color": False, "is_ascii": True},
}


@pytest.mark.parametrize("look", LOOKS)
async def test_the_colors_of_the_live_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    """The golden files hold the terminal's own codes: `cat` shows them in colour."""
    if look in ("no-color", "ascii"):
        monkeypatch.setenv("NO_COLOR", "1")
    bench = Bench(tmp_path, **LOOKS[look]())
    console = Console(force_terminal=True, color_system="truecolor", no_color=False, legacy_windows=False)
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        strips = bench.app.screen._compositor.render_strips()
        text = "".join(f"{strip.render(console)}\n" for strip in strips)
    if look == "ascii":
        assert text.isascii()
    if look in ("no-color", "ascii"):
        assert "38;2" not in text
    check_golden(f"colors-{look}.ansi", text)
