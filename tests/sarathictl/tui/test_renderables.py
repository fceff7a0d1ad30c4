"""The pictures, as text: one golden file a size, written anew with `UPDATE_GOLDEN=1`."""

import os
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from sarathictl import units
from sarathictl.ascii_text import ascii_only
from sarathictl.client.stats_stream import Link, LinkState
from sarathictl.state.alerts import Alert
from sarathictl.state.engine_state import EngineState
from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.big_words import draw_big_words
from sarathictl.tui.renderables.digits import tall
from sarathictl.tui.renderables.engine import draw_engine
from sarathictl.tui.renderables.explanation import draw_explanation
from sarathictl.tui.renderables.frame import draw_frame
from sarathictl.tui.renderables.header import Watch, draw_header, draw_targets
from sarathictl.tui.renderables.keys import Key, draw_keys
from sarathictl.tui.renderables.line import bar, column_of
from sarathictl.tui.renderables.look import PLAIN_LOOK
from sarathictl.tui.renderables.requests import draw_requests
from sarathictl.tui.renderables.stalls import draw_stalls, stalls_title
from sarathictl.tui.renderables.tape import Tape, draw_tape
from sarathictl.tui.renderables.tape_columns import Axis, TapeColumns, tape_columns
from sarathid.protocol.control import RequestState
from sarathid.protocol.stats import Blocker, ChunkStats, IterationScheduled, StallCause
from sarathid.tape.request_table import RequestRow
from tests.sarathictl.records import START_S, PaperEngine, make_request_status, make_settings, make_snapshot

GOLDEN = Path(__file__).parent.parent / "golden"
WALL_OFFSET_S = 1_700_000_000.0 - START_S

pytestmark = pytest.mark.usefixtures("utc")


def make_view(policy: str = "stall-free", budget: int = 256, until_s: float = START_S + 14.0) -> EngineView:
    settings = make_settings(budget, policy=policy)
    engine = PaperEngine(settings)
    snapshot = make_snapshot(settings, requests=(make_request_status(17),))
    state = EngineState.from_snapshot(snapshot, START_S)
    for record in engine.run(until_s):
        state.fold(record)
    return state.view(engine.now_s)


def make_watch(view: EngineView, state: LinkState = LinkState.LIVE, paused_s: float | None = None) -> Watch:
    link = Link(state, view.now_s - 12.0, num_missed=0)
    return Watch(link=link, now_s=view.now_s, wall_offset_s=WALL_OFFSET_S, paused_s=paused_s)


def check_golden(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text + "\n")
    assert text + "\n" == path.read_text()


@pytest.mark.parametrize("policy", ["stall-free", "prefill-first"])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 36), (200, 60)])
def test_a_whole_picture(policy: str, width: int, height: int) -> None:
    view = make_view(policy)
    lines = draw_frame(view, make_watch(view), width, height, PLAIN_LOOK)
    assert {line.cell_len for line in lines} == {width}
    check_golden(f"frame-{policy}-{width}x{height}", "\n".join(line.plain for line in lines))


def test_an_explanation_takes_the_gap_apart() -> None:
    lines = draw_explanation(make_view().stalls[0], 76, PLAIN_LOOK)
    check_golden("explanation", "\n".join(line.plain.rstrip() for line in lines))


def test_an_explanation_names_every_cause_and_says_where_its_seconds_come_from() -> None:
    stall = make_view().stalls[0]
    everything = msgspec.structs.replace(stall, parts=dict.fromkeys(StallCause, 0.02))
    rows = [re.split(r" {2,}", text.plain.strip()) for text in draw_explanation(everything, 90, PLAIN_LOOK)]
    by_name = {row[-2]: row[-1] for row in rows if row[0] == "20 ms"}
    assert by_name["prefill"] == by_name["pipeline bubbles"] == "model"
    assert by_name["waiting for KV blocks"] == by_name["garbage collection"] == "measured"
    assert by_name["unexplained"] == "remainder"
    assert len(by_name) == len(StallCause)
    measured = msgspec.structs.replace(stall, parts={StallCause.DECODE: 0.3, StallCause.BUBBLE: 0.023})
    origins = [text.plain.split()[-1] for text in draw_explanation(measured, 90, PLAIN_LOOK)[4:6]]
    assert origins == ["measured", "measured"]


@pytest.mark.parametrize(("width", "height"), [(50, 14), (40, 12), (40, 8)])
def test_big_words_fit_the_smallest_terminal(width: int, height: int) -> None:
    view = make_view()
    lines = draw_big_words(view, make_watch(view), width, height, PLAIN_LOOK)
    assert len(lines) <= height
    assert {line.cell_len for line in lines} == {width}
    check_golden(f"big-words-{width}x{height}", "\n".join(line.plain.rstrip() for line in lines))


def test_tall_figures_are_three_lines_of_one_width() -> None:
    for number in ("0", "123", "4.56", "7890", "—"):
        assert len({len(row) for row in tall(number)}) == 1
        assert len(tall(number)) == 3
    shapes = [tall(digit) for digit in "0123456789"]
    assert len(set(shapes)) == 10


@pytest.mark.parametrize("width", [20, 60, 80, 120])
def test_the_key_that_ends_the_program_is_there_at_every_width(width: int) -> None:
    words = ("explain", "fix", "help", "screens", "pause", "budget", "SLO", "why", "cancel", "quit")
    text = draw_keys([Key(word[0], word, "") for word in words], width, PLAIN_LOOK)
    assert text.cell_len == width
    assert text.plain.rstrip().endswith("  q quit")
    assert "…" not in text.plain


def test_live_paused_stale_and_disconnected_each_look_different() -> None:
    view = make_view()
    watches = [make_watch(view, state) for state in LinkState] + [make_watch(view, paused_s=view.now_s - 2.0)]
    headers = [draw_header(view, watch, 120, PLAIN_LOOK).plain for watch in watches]
    assert len(set(headers)) == len(headers)
    assert [
        word
        for word in ("LIVE", "STALE", "FROZEN", "DISCONNECTED", "OTHER VERSION", "PAUSED")
        if any(word in line for line in headers)
    ] == [
        "LIVE",
        "STALE",
        "FROZEN",
        "DISCONNECTED",
        "OTHER VERSION",
        "PAUSED",
    ]


@pytest.mark.parametrize(("width", "alert"), [(80, "! tbt.p99 +1 "), (140, "! tbt.p99 323 ms > 100 ms +1 ")])
def test_alerts_leave_the_targets_whole(width: int, alert: str) -> None:
    view = make_view()
    alerts = (Alert("tbt.p99", 0.323, 0.1, view.now_s), Alert("ttft.p95", 2.62, 2.0, view.now_s - 1.0))
    words = draw_targets(view, replace(make_watch(view), alerts=alerts), width, PLAIN_LOOK).plain
    assert words.endswith(alert)
    assert "TBT p99≤100ms  10s ✘323ms" in words
    assert "TTFT p95≤2s  5m ✘2.62s" in words
    assert "…" not in words


@pytest.mark.parametrize(("width", "course"), [(200, "██▇▅·▁▁███"), (80, "")])
def test_the_course_of_the_last_minute_is_drawn_where_there_is_room(width: int, course: str) -> None:
    shares = (1.0, 1.0, 0.995, 0.6, None, 0.1, 0.0, 1.0, 1.0, 1.0)
    view = replace(make_view(), attainments=shares)
    words = draw_targets(view, make_watch(view), width, PLAIN_LOOK)
    assert f"in time {units.share(view.attainment)} {course}".strip() in words.plain
    assert ("█" in words.plain) is bool(course)


def test_a_request_has_its_blocks_and_its_priority_where_there_is_room() -> None:
    view = make_view()
    assert view.info is not None
    row = RequestRow(
        request_id=17, state=RequestState.DECODE, num_computed_tokens=2 * view.info.block_size + 1, priority=-5
    )
    wide, broad, narrow = (
        [text.plain.split() for text in draw_requests(replace(view, requests=(row,)), None, width, 2, PLAIN_LOOK)]
        for width in (140, 120, 80)
    )
    assert wide[0][-4:] == ["KV", "BLK", "PRIORITY", "CLIENT"]
    assert wide[1][-3:] == ["3", "-5", units.ABSENT]
    assert broad[0][-3:] == ["KV", "BLK", "CLIENT"]
    assert "KV" not in narrow[0]


def test_a_slow_iteration_is_as_wide_as_it_was_long() -> None:
    view = make_view("prefill-first")
    slowest = max(view.samples, key=lambda sample: sample.duration_s)
    columns = tape_columns(view, Axis.TIME, 120, 0.1)
    widest = max(len(run) for run in "".join("#" if c.num_prefill_tokens >= 2000 else " " for c in columns).split())
    assert widest == pytest.approx(slowest.duration_s / 0.1, abs=1.0)


def test_coarse_columns_hold_the_mean_over_their_time_and_mark_the_largest() -> None:
    view = make_view()
    columns = [column for column in tape_columns(view, Axis.TIME, 40, 1.0) if column.num_tokens]
    seconds = sum(sample.duration_s for sample in view.samples)
    mean = sum(sample.duration_s * sample.num_tokens for sample in view.samples) / seconds
    assert sum(column.num_tokens for column in columns) / len(columns) == pytest.approx(mean, rel=0.1)
    assert {column.most_tokens for column in columns} <= {sample.num_tokens for sample in view.samples}
    assert all(column.num_tokens <= column.most_tokens for column in columns)
    assert all(column.most_tokens == 0 for column in tape_columns(view, Axis.TIME, 40, 0.1))
    top, *_ = draw_tape(view, Axis.TIME, 1.0, 64, 16, PLAIN_LOOK, 0.0)
    num_full = sum(column.most_tokens == 256 and column.num_tokens < 240 for column in columns)
    assert top.plain.count("▔") == num_full > 3


def test_the_tape_stands_still_for_a_second_and_then_moves_by_one() -> None:
    engine = PaperEngine(make_settings(256))
    state = EngineState.from_snapshot(make_snapshot(make_settings(256)), START_S)
    for record in engine.run(START_S + 6.0):
        state.fold(record)
    before, later, moved = (
        tape_columns(state.view(START_S + seconds), Axis.TIME, 100, 0.1) for seconds in (6.2, 6.9, 7.1)
    )
    assert [len(before), len(later), len(moved)] == [92, 99, 91]
    assert later[:85] == before[:85]
    assert moved[:75] == before[10:85]


def make_running(start_s: float) -> IterationScheduled:
    return IterationScheduled(
        sequence_number=9_999,
        start_s=start_s,
        token_budget=256,
        num_decode_tokens=8,
        chunks=(ChunkStats(99, 0, 200, 2000),),
    )


@pytest.mark.parametrize("zoom_s", [0.02, 0.1, 1.0])
def test_columns_that_are_told_one_view_after_another_are_those_of_each_alone(zoom_s: float) -> None:
    engine = PaperEngine(make_settings(256))
    state = EngineState.from_snapshot(make_snapshot(make_settings(256)), START_S)
    columns, views = TapeColumns(), []
    for tenth in range(140):
        for record in engine.run(START_S + 0.1 * tenth):
            state.fold(record)
        view = state.view(START_S + 0.1 * tenth)
        views += [view, replace(view, running=make_running(view.now_s - 0.15))]
    for view in (*views, *views[::-7], views[0], views[-1]):
        assert columns.of(view, Axis.TIME, 60, zoom_s) == tape_columns(view, Axis.TIME, 60, zoom_s)
    assert any(view.open_gap_s is not None for view in views)


def test_the_part_of_the_tape_that_stands_still_is_drawn_once() -> None:
    engine = PaperEngine(make_settings(256))
    state = EngineState.from_snapshot(make_snapshot(make_settings(256)), START_S)
    for record in engine.run(START_S + 6.0):
        state.fold(record)
    tape, lines = Tape(num_newest=12), []
    for seconds in (6.2, 6.9, 7.1):
        view = state.view(START_S + seconds)
        left, right = tape.draw(view, Axis.TIME, 0.1, 124, 16, PLAIN_LOOK, 0.0)
        whole = draw_tape(view, Axis.TIME, 0.1, 124, 16, PLAIN_LOOK, 0.0)
        assert [one.plain + other.plain for one, other in zip(left, right, strict=True)] == [
            text.plain for text in whole
        ]
        lines.append(left)
    assert lines[1] is lines[0]
    assert lines[2] is not lines[0]


def test_the_tape_says_the_time_of_day_below_the_columns_of_that_time() -> None:
    engine = PaperEngine(make_settings(256))
    state = EngineState.from_snapshot(make_snapshot(make_settings(256)), START_S)
    for record in engine.run(START_S + 6.0):
        state.fold(record)
    *_, ticks = draw_tape(state.view(START_S + 6.0), Axis.TIME, 0.1, 124, 16, PLAIN_LOOK, 0.5)
    assert ticks.plain.index(f"┴{units.clock_time(START_S + 4.0)}") == 10 + 100 - 25


def test_one_column_an_iteration_on_the_other_axis() -> None:
    view = make_view()
    columns = tape_columns(view, Axis.ITERATION, 10, 0.1)
    assert [column.num_tokens for column in columns] == [sample.num_tokens for sample in view.samples[-10:]]


def test_what_runs_now_grows_while_it_runs() -> None:
    engine = PaperEngine(make_settings(256))
    state = EngineState.from_snapshot(make_snapshot(make_settings(256)), START_S)
    records = list(engine.run(START_S + 1.5))
    for record in records:
        state.fold(record)
    state.fold(next(record for record in engine.step() if isinstance(record, IterationScheduled)))
    start_s = engine.now_s
    early = tape_columns(state.view(start_s + 0.2), Axis.TIME, 100, 0.1)
    late = tape_columns(state.view(start_s + 1.0), Axis.TIME, 100, 0.1)
    assert sum(column.is_running for column in late) - sum(column.is_running for column in early) == 8


def test_the_feed_says_how_many_newer_stalls_the_marked_one_keeps_out_of_it() -> None:
    view = make_view("prefill-first")
    last = len(view.stalls) - 1
    shown = draw_stalls(view, last, 80, 3, PLAIN_LOOK, 0.0)
    assert shown[2].plain.startswith("▶")
    assert stalls_title(view, PLAIN_LOOK, last, 3).plain.endswith(f"· {last - 2} newer, esc")
    assert "newer" not in stalls_title(view, PLAIN_LOOK, 2, 3).plain


def test_a_stall_that_lasts_still_is_said_before_it_is_over() -> None:
    engine = PaperEngine(make_settings(256))
    state = EngineState.from_snapshot(make_snapshot(make_settings(256)), START_S)
    for record in engine.run(START_S + 2.0):
        state.fold(record)
    assert "now" not in draw_stalls(state.view(engine.now_s), None, 80, 5, PLAIN_LOOK, 0.0)[0].plain
    state.fold(next(record for record in engine.step() if isinstance(record, IterationScheduled)))
    view = state.view(state.view(0.0).samples[-1].end_s + 5.0)
    first, *_ = draw_stalls(view, None, 80, 5, PLAIN_LOOK, 0.0)
    assert first.plain.startswith(" now  1 +7 waiting 5 s ← 8 decode + 248 prefill of 9")
    assert tape_columns(view, Axis.TIME, 20, 0.5)[-1].gap_s == pytest.approx(5.0, abs=0.001)


@pytest.mark.parametrize(("width", "height"), [(30, 4), (80, 8), (120, 16), (200, 40)])
def test_the_tape_fills_exactly_what_it_is_given(width: int, height: int) -> None:
    lines = draw_tape(make_view(), Axis.TIME, 0.1, width, height, PLAIN_LOOK, 0.0)
    assert [line.cell_len for line in lines] == [width] * height


def test_an_empty_engine_is_drawn_too() -> None:
    view = EngineState().view(0.0)
    watch = make_watch(view, LinkState.CONNECTING)
    lines = draw_frame(view, watch, 80, 24, PLAIN_LOOK)
    assert any("no iteration yet" in line.plain for line in lines)


def test_everything_can_be_written_with_ascii_alone() -> None:
    view = make_view()
    for line in draw_frame(view, make_watch(view), 120, 36, PLAIN_LOOK):
        written = ascii_only(line.plain)
        assert written.isascii()
        assert "?" not in written


def test_a_bar_is_as_long_as_its_share() -> None:
    assert bar(0.0, 8) == " " * 8
    assert bar(0.5, 8) == "████    "
    assert bar(1.0, 8) == "█" * 8
    assert column_of(0.001) == "▁"
    assert column_of(1.0) == "█"


def test_the_engine_says_how_long_the_oldest_waits_and_for_what() -> None:
    waiting = make_request_status(18, RequestState.WAITING)
    state = EngineState.from_snapshot(make_snapshot(make_settings(256), requests=(waiting,)), START_S)
    queues, *_ = draw_engine(state.view(START_S + 1.0), 60, 6, PLAIN_LOOK, 0.0)
    assert f"wait 1 up to {units.short_duration(waiting.age_s + 1.0)}  " in queues.plain

    state.fold(
        IterationScheduled(
            sequence_number=1,
            start_s=START_S,
            token_budget=256,
            num_decode_tokens=9,
            chunks=(),
            blocked_by=Blocker.SEQUENCES,
        )
    )
    queues, *_ = draw_engine(state.view(START_S + 1.0), 60, 6, PLAIN_LOOK, 0.0)
    assert f"wait 1 up to {units.short_duration(waiting.age_s + 1.0)} (all places)" in queues.plain
