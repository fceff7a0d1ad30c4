"""The numbered screens under a pilot: what each shows, and what is marked, sorted and filtered in it."""

import msgspec
import pytest
from textual.widgets import Input, Static

from sarathictl.tui.screens.explain import ExplainScreen
from sarathictl.tui.screens.go_to import GoToScreen
from sarathictl.tui.screens.live import LiveScreen
from sarathictl.tui.screens.requests import RequestsScreen
from sarathictl.tui.screens.retune import RetuneScreen
from sarathictl.tui.screens.stalls import StallsScreen
from sarathictl.tui.screens.tuning import TuningScreen
from sarathictl.tui.widgets.panel import Panel
from sarathid.protocol.control import AuditTrail, Cancel, GetAudit
from sarathid.protocol.plan import Planned
from sarathid.protocol.revisions import AuditEntry, AuditEvent, RevisionState
from tests.sarathictl.plans import FORECAST, OBSERVED, make_planned
from tests.sarathictl.records import PREVENTING_BUDGET, make_settings
from tests.sarathictl.revisions import make_revision
from tests.sarathictl.tui.bench import Bench, changed, type_answer, until

pytestmark = pytest.mark.usefixtures("utc")

SIZES = [(200, 60), (120, 40), (80, 24)]


def marked_in(bench: Bench) -> str:
    (line,) = (line for line in bench.lines() if line.startswith("▶"))
    return line


def decodes_in(bench: Bench) -> list[str]:
    return [line for line in bench.lines() if " decode " in line]


async def test_number_keys_change_screens_and_keep_what_was_marked(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 40)) as pilot:
        for key, screen in (("2", RequestsScreen), ("3", StallsScreen), ("5", TuningScreen), ("1", LiveScreen)):
            await pilot.press(key)
            assert type(bench.app.screen) is screen
        await pilot.press("2", "down", "down")
        marked = marked_in(bench)
        await pilot.press("1", "2")
        await pilot.pause()
        assert marked_in(bench) == marked


@pytest.mark.parametrize("size", SIZES)
async def test_the_requests_screen_shows_the_marked_request_in_full(bench: Bench, size: tuple[int, int]) -> None:
    async with bench.app.run_test(size=size) as pilot:
        await pilot.press("2", "down")
        await pilot.pause()
        assert marked_in(bench).split()[1] == "2"
        assert bench.says("answer   ")
        assert bench.says("tokens, full height 323 ms")


async def test_requests_are_sorted_by_the_next_column_and_turned_round(bench: Bench) -> None:
    async with bench.app.run_test(size=(200, 60)) as pilot:
        await pilot.press("2", *"ssssss")
        assert "sort WORST ▾" in str(bench.app.screen.query_one("#table", Panel).border_title)
        worst = [line.split()[0].removeprefix("▶") for line in bench.lines() if " decode " in line]
        await pilot.press("S")
        assert "sort WORST ▴" in str(bench.app.screen.query_one("#table", Panel).border_title)
        turned = [line.split()[0].removeprefix("▶") for line in bench.lines() if " decode " in line]
        assert len(worst) == len(turned) > 1
        assert worst != turned


async def test_a_followed_request_stays_on_top_of_both_lists_until_its_end_is_told(bench: Bench) -> None:
    async with bench.app.run_test(size=(200, 60)) as pilot:
        await pilot.press("2", "down", "down", "m", "down", *"ssssss")
        await pilot.pause()
        assert marked_in(bench).split()[1] == "1"
        heading = next(number for number, line in enumerate(bench.lines()) if " STATE " in line)
        assert bench.lines()[heading + 1].split()[:2] == ["◆", "3"]
        await pilot.press("1")
        await pilot.pause()
        assert any(line.startswith("◆") for line in bench.lines())
        bench.source.post(msgspec.structs.replace(bench.ended, request_id=3))
        await until(pilot, lambda: any("3 ended by length" in note.message for note in bench.app._notifications))
        await until(pilot, lambda: not any(line.startswith("◆") for line in bench.lines()))


async def test_somebody_goes_to_a_moment_that_he_names(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 40)) as pilot:
        now_s = bench.app._playhead.now_s
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(bench.app.screen, GoToScreen))
        await type_answer(pilot, "noon")
        await until(pilot, lambda: "is no moment" in str(bench.app.screen.query_one("#answer", Static).content))
        await type_answer(pilot, "-2s")
        await until(pilot, lambda: bench.app._playhead.now_s == pytest.approx(now_s - 2.0))


async def test_requests_are_filtered_and_escape_brings_all_back(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        everything = decodes_in(bench)
        await pilot.press("slash", *"state:decode 3", "enter")
        assert [line.split()[:2] for line in decodes_in(bench)] == [["▶", "3"]]
        await pilot.press("slash", "escape")
        assert [line[1:] for line in decodes_in(bench)] == [line[1:] for line in everything]


async def test_a_filter_that_cannot_be_read_changes_nothing(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        before = decodes_in(bench)
        await pilot.press("slash", *"state:odd", "enter")
        assert bench.app.screen.query_one(Input).has_class("-unreadable")
        assert decodes_in(bench) == before


async def test_the_marked_request_of_the_requests_screen_is_the_one_cancelled(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2", "down", "K", "y")
        await until(pilot, lambda: bench.operator.asked == [Cancel(request_id=2)])


@pytest.mark.parametrize("size", SIZES)
async def test_the_stalls_screen_explains_the_marked_stall_as_a_sum(bench: Bench, size: tuple[int, int]) -> None:
    async with bench.app.run_test(size=size) as pilot:
        await pilot.press("3", "down", "down")
        await pilot.pause()
        assert bench.says("323 ms, of which")
        assert bench.says("100 %")
        assert bench.says("prefill of")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(bench.app.screen, ExplainScreen))
        await pilot.press("t")
        await until(pilot, lambda: isinstance(bench.app.screen, LiveScreen))
        assert bench.app._playhead.now_s == bench.stalls[-2].time_s


async def test_f_goes_from_the_stalls_screen_to_the_change_that_it_names(bench: Bench) -> None:
    bench.operator.answers = {Planned: make_planned()}
    async with bench.app.run_test(size=(120, 40)) as pilot:
        await pilot.press("3")
        assert bench.says(f"a budget of {PREVENTING_BUDGET} would")
        await pilot.press("f")
        assert isinstance(bench.app.screen, RetuneScreen)


@pytest.mark.parametrize("size", SIZES)
async def test_the_tuning_screen_shows_changes_with_said_and_measured_and_the_audit_log(
    bench: Bench, size: tuple[int, int]
) -> None:
    tried = make_revision(
        2, state=RevisionState.EXPIRED, predicted=FORECAST, measured=OBSERVED, verdict="nobody kept it"
    )
    bench.operator.history = (make_revision(1), tried)
    entry = AuditEntry(time_s=1.0, event=AuditEvent.CHANGED, by="0/17/bash", revision=tried)
    bench.operator.answers = {AuditTrail: AuditTrail(entries=(entry,), num_left_out=0)}
    async with bench.app.run_test(size=size) as pilot:
        await pilot.press("5")
        await until(pilot, lambda: bench.says("token budget 256 -> 64 by 0/17/bash"))
        assert bench.operator.asked == [GetAudit()]
        assert marked_in(bench).startswith("▶r2")
        assert "0 of 1 forecasts came true" in str(bench.app.screen.query_one("#revisions", Panel).border_title)
        if size != (80, 24):
            assert bench.says("94 ms said, 268 ms measured")
        await pilot.press("down")
        assert marked_in(bench).startswith("▶r1")
        assert bench.says("token budget 256, policy stall-free")


async def test_a_revision_that_comes_is_shown_while_the_screen_is_open(bench: Bench) -> None:
    bench.operator.history = (make_revision(1),)
    bench.operator.answers = {AuditTrail: AuditTrail(entries=(), num_left_out=0)}
    async with bench.app.run_test(size=(120, 40)) as pilot:
        await pilot.press("5")
        await until(pilot, lambda: bench.says("▶r1"))
        bench.operator.history = (make_revision(1), msgspec.structs.replace(make_revision(2), state=RevisionState.KEPT))
        bench.source.post(changed(make_settings(64, revision=2)))
        bench.app.tick()
        await until(pilot, lambda: bench.says("▶r2"))
