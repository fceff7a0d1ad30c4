"""Retuning from the console under a pilot: forecast, terms, refusal, countdown, keep and undo."""

from typing import Any

import msgspec
import pytest
from rich.text import Text
from textual.widgets import Input, Static

from sarathictl.tui.screens.confirm import ConfirmScreen
from sarathictl.tui.screens.explain import ExplainScreen
from sarathictl.tui.screens.live import LiveScreen
from sarathictl.tui.screens.retune import RetuneScreen
from sarathid.errors import ControlRefused
from sarathid.protocol.control import (
    ChangeRequest,
    ErrorCode,
    Keep,
    Plan,
    SetBudget,
    SetPolicy,
    SetSLO,
    Undo,
)
from sarathid.protocol.plan import Candidate, Planned
from sarathid.protocol.slo import SLOChange
from tests.sarathictl.plans import FORECAST, OBSERVED, make_planned
from tests.sarathictl.records import PREVENTING_BUDGET, START_S, make_settings
from tests.sarathictl.revisions import make_revision
from tests.sarathictl.tui.bench import Bench, answer_of, changed, type_answer, until

pytestmark = pytest.mark.usefixtures("utc")


def forecast_of(bench: Bench) -> str:
    return str(bench.app.screen.query_one("#forecast", Static).content)


def styles_of(bench: Bench) -> set[Any]:
    """Return how the forecast's words are written."""
    content = bench.app.screen.query_one("#forecast", Static).content
    assert isinstance(content, Text)
    return {span.style for span in content.spans}


def changes_in(bench: Bench) -> list[Any]:
    """Return the changes asked for, whether or not their forecasts had come by then."""
    asked = [op for op in bench.operator.asked if isinstance(op, ChangeRequest)]
    return [msgspec.structs.replace(op, predicted=None) for op in asked]


async def test_a_budget_is_applied_when_the_stream_shows_it(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("b")
        await type_answer(pilot, "64")
        screen = bench.app.screen
        assert isinstance(screen, RetuneScreen)
        await until(pilot, lambda: "accepted as r2" in answer_of(screen))
        assert changes_in(bench) == [SetBudget(budget=64, if_revision=1, confirm_s=60.0)]
        bench.source.post(changed(make_settings(64, revision=2)))
        bench.app.tick()
        await until(pilot, lambda: isinstance(bench.app.screen, LiveScreen))
        assert bench.says("budget 64 (r2)")


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
async def test_a_change_is_forecast_before_it_is_made_and_its_forecast_goes_along(
    bench: Bench, size: tuple[int, int]
) -> None:
    bench.operator.answers = {Planned: make_planned()}
    async with bench.app.run_test(size=size) as pilot:
        await pilot.press("b")
        assert "another value shows" in forecast_of(bench)
        await pilot.press("right")
        await until(pilot, lambda: "TBT P99" in forecast_of(bench))
        assert bench.operator.asked == [Plan(candidates=(Candidate(budget=257),))]
        (row,) = [line for line in forecast_of(bench).splitlines() if line.startswith("TTFT P95")]
        assert row.split() == ["TTFT", "P95", "640", "ms", "640", "ms", "2.4", "s", "±0%", "+275%", "✘"]
        await pilot.press("enter")
        await until(pilot, lambda: len(bench.operator.asked) == 2)
        assert bench.operator.asked[1].predicted == FORECAST


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
async def test_a_row_of_budgets_is_held_side_by_side(bench: Bench, size: tuple[int, int]) -> None:
    bench.operator.answers = {Planned: make_planned()}
    async with bench.app.run_test(size=size) as pilot:
        await pilot.press("b", "ctrl+t")
        frontier = bench.app.screen.query_one("#frontier", Static)
        await until(pilot, lambda: "TTFT P95" in str(frontier.content))
        (asked,) = bench.operator.asked
        assert [candidate.budget for candidate in asked.candidates][-2:] == [1024, "auto"]
        _, now, tried, *_ = str(frontier.content).splitlines()
        assert now.split()[:4] == ["▶", "2048", "255", "ms"]
        assert len(now.split()[5]) > len(tried.split()[4])
        assert tried.split()[:4] == ["384", "94", "ms", "✔"]
        assert tried.split()[-1] == "2"
        assert all(len(line) <= frontier.size.width for line in str(frontier.content).splitlines())
        await pilot.press("ctrl+t")
        assert not frontier.display
    async with Bench(bench.app._export_dir).app.run_test(size=size) as pilot:
        await pilot.press("p", "ctrl+t")
        assert not pilot.app.screen.query("#frontier")


async def test_a_forecast_that_is_refused_is_said_and_the_change_can_be_made(bench: Bench) -> None:
    bench.operator.refusal = ControlRefused(ErrorCode.UNAVAILABLE, "nothing ran in the last 5 minutes")
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("b", "right")
        await until(pilot, lambda: "no forecast: nothing ran" in forecast_of(bench))
        bench.operator.refusal = None
        await pilot.press("enter")
        await until(pilot, lambda: changes_in(bench)[-1:] == [SetBudget(budget=257, if_revision=1, confirm_s=60.0)])


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
async def test_a_forecast_that_does_not_tell_the_past_is_grey_and_takes_a_word_more(
    bench: Bench, size: tuple[int, int]
) -> None:
    wrong = msgspec.structs.replace(OBSERVED, tbt_p99_s=0.1)
    bench.operator.answers = {Planned: make_planned(replayed=wrong)}
    async with bench.app.run_test(size=size) as pilot:
        await pilot.press("b", "right")
        await until(pilot, lambda: "± model" in forecast_of(bench))
        assert styles_of(bench) == {bench.app.look.faint}
        await pilot.press("enter")
        screen, word = bench.app.screen, bench.app.screen.query_one("#anyway", Input)
        await until(pilot, lambda: word.has_focus)
        assert screen.query_one("#dialog").region.contains_region(word.region)
        await pilot.press(*"any", "enter")
        assert changes_in(bench) == []
        word.clear()
        await pilot.press(*"anyway", "enter")
        await until(pilot, lambda: changes_in(bench) == [SetBudget(budget=257, if_revision=1, confirm_s=60.0)])


async def test_another_value_takes_its_own_word(bench: Bench) -> None:
    wrong = msgspec.structs.replace(OBSERVED, tbt_p99_s=0.1)
    bench.operator.answers = {Planned: make_planned(replayed=wrong)}
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("b", "right")
        await until(pilot, lambda: "± model" in forecast_of(bench))
        await pilot.press("enter", *"anyway", "shift+tab", "shift+tab", "shift+tab", "shift+tab", "right")
        word = bench.app.screen.query_one("#anyway", Input)
        assert (word.value, word.display and word.parent is not None and word.parent.display) == ("", False)


async def test_arrows_step_by_tile_and_token_and_a_writes_auto(bench: Bench) -> None:
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("b", "left", "shift+right", "shift+right", "enter")
        await until(pilot, lambda: changes_in(bench)[-1:] == [SetBudget(budget=257, if_revision=1, confirm_s=60.0)])
        await pilot.press("a", "enter")
        await until(pilot, lambda: changes_in(bench)[-1:] == [SetBudget(budget="auto", if_revision=1, confirm_s=60.0)])


async def test_terms_are_sent_as_they_are_written(bench: Bench) -> None:
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("b", "right", "tab")
        await pilot.press("backspace", *"5m", "tab", *"tbt.p99 < 120ms", "tab", *"why not", "enter")
        asked = SetBudget(budget=257, if_revision=1, confirm_s=300.0, guard="tbt.p99 < 120ms", reason="why not")
        await until(pilot, lambda: changes_in(bench) == [asked])


async def test_without_a_time_to_be_taken_back_a_change_stays(bench: Bench) -> None:
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("b", "right", "tab", "backspace", "enter")
        await until(pilot, lambda: changes_in(bench) == [SetBudget(budget=257, if_revision=1)])


async def test_a_refusal_is_shown_with_the_range(bench: Bench) -> None:
    bench.operator.refusal = ControlRefused(ErrorCode.OUT_OF_RANGE, "9 is not in 16 to 8192", "give more")
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("b")
        await type_answer(pilot, "9")
        screen = bench.app.screen
        await until(pilot, lambda: "refused: 9 is not in 16 to 8192\ngive more" in answer_of(screen))


@pytest.mark.parametrize(("answer", "words"), [("many", "write a number of tokens"), ("64", "is not a duration")])
async def test_what_cannot_be_read_is_never_sent(bench: Bench, answer: str, words: str) -> None:
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("b", "tab", *"soon", "shift+tab")
        await type_answer(pilot, answer)
        assert words in answer_of(bench.app.screen)
        assert changes_in(bench) == []


@pytest.mark.parametrize(
    ("key", "answer", "op"),
    [
        ("p", "prefill-first", SetPolicy(policy="prefill-first", if_revision=1, confirm_s=60.0)),
        ("o", "tbt=250ms", SetSLO(slo=SLOChange(tbt_s=0.25), if_revision=1, confirm_s=60.0)),
        ("o", "off", SetSLO(slo=SLOChange(tbt_s=None, ttft_s=None), if_revision=1, confirm_s=60.0)),
    ],
)
async def test_policy_and_targets_have_a_dialog_too(bench: Bench, key: str, answer: str, op: Any) -> None:
    async with bench.app.run_test(size=(80, 24)) as pilot:
        await pilot.press(key)
        await type_answer(pilot, answer)
        await until(pilot, lambda: changes_in(bench) == [op])


async def test_f_proposes_the_budget_that_would_have_prevented_the_marked_stall(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 36)) as pilot:
        bench.operator.answers = {Planned: make_planned()}
        await pilot.press("down", "f")
        assert isinstance(bench.app.screen, RetuneScreen)
        await pilot.press("enter")
        await until(pilot, lambda: any(isinstance(op, SetBudget) for op in bench.operator.asked))
        (op,) = (op for op in bench.operator.asked if isinstance(op, SetBudget))
        assert op.budget == PREVENTING_BUDGET
        assert "stalled 323 ms ← 248-token prefill" in op.reason


async def test_f_works_from_the_explanation_too(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 36)) as pilot:
        bench.operator.answers = {Planned: make_planned()}
        await pilot.press("down", "enter", "f")
        await until(pilot, lambda: isinstance(bench.app.screen, RetuneScreen))


async def test_f_says_when_no_budget_would_have_helped(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 36)) as pilot:
        bench.clock.advance(1.0)
        helpless = msgspec.structs.replace(bench.stalls[-1], time_s=bench.clock.now_s(), preventing_budget=None)
        bench.source.post(helpless)
        bench.app.tick()
        await pilot.press("down", "f")
        assert told(bench, "no budget would have prevented it")
        assert isinstance(bench.app.screen, LiveScreen)
        await pilot.press("enter")
        assert isinstance(bench.app.screen, ExplainScreen)
        assert "f prevents it" not in str(bench.app.screen.query_one("#dialog").border_subtitle)


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
async def test_a_change_counts_down_beside_what_was_said_of_it(bench: Bench, size: tuple[int, int]) -> None:
    bench.operator.history = (make_revision(1), make_revision(2, time_s=START_S + 8.0, predicted=FORECAST))
    async with bench.app.run_test(size=size) as pilot:
        bench.source.post(changed(make_settings(64, revision=2)))
        bench.clock.advance(13.0)
        bench.app.tick()
        await until(pilot, lambda: bench.says("taken back in 47 s"))
        assert bench.says("r2 token budget 256 -> 64")
        assert bench.says("k keep u undo")
        assert bench.says("TBT P99 94 ms said") is (size == (120, 36))


async def test_k_keeps_and_the_countdown_ends(bench: Bench) -> None:
    bench.operator.history = (make_revision(1), make_revision(2, time_s=START_S + 8.0))
    async with bench.app.run_test(size=(120, 36)) as pilot:
        bench.source.post(changed(make_settings(64, revision=2)))
        bench.app.tick()
        await until(pilot, lambda: bench.says("taken back in"))
        await pilot.press("k")
        await until(pilot, lambda: bench.operator.asked == [Keep()])
        bench.operator.history = (make_revision(1), msgspec.structs.replace(make_revision(2), state="kept"))
        bench.clock.advance(2.0)
        bench.app.tick()
        await until(pilot, lambda: not bench.says("taken back in"))
        assert bench.says("kept")


async def test_u_undoes_only_after_yes_and_only_what_was_shown(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("u")
        await until(pilot, lambda: isinstance(bench.app.screen, ConfirmScreen))
        assert bench.operator.asked == [Undo(if_revision=1, dry_run=True)]
        await pilot.press("n", "u")
        await until(pilot, lambda: isinstance(bench.app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: bench.operator.asked[-1] == Undo(if_revision=1))


def told(bench: Bench, words: str) -> bool:
    return any(words in notice.message for notice in bench.app._notifications)
