"""Any moment of the log: the same whatever was looked at before, live or from a file."""

from collections.abc import Iterable
from functools import cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarathictl.state.engine_log import MAX_LOG_S, SEGMENT_S, EngineLog
from sarathictl.state.engine_state import time_of
from sarathictl.state.engine_view import EngineView
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import (
    IterationScheduled,
    IterationStats,
    LifeCycle,
    RequestArrival,
    SettingsChanged,
    StallEvent,
    StreamRecord,
)
from sarathid.tape.frames import Frame, FrameKind
from sarathid.tape.key_frame import KeyFrame
from sarathid.tape.segment import OpenSegment
from tests.sarathictl.records import (
    START_S,
    PaperEngine,
    make_request_status,
    make_settings,
    make_snapshot,
)

SPAN_S = 2.7 * SEGMENT_S


@cache
def told() -> tuple[StreamRecord, ...]:
    """Return an engine's records, in whole microseconds as a recording has them, with a change on the way."""
    engine = PaperEngine(make_settings(256))
    changed = SettingsChanged(
        time_s=START_S + 12.0, iteration=1, revision=1, token_budget=256, policy="stall-free", slo=SLO(tbt_s=0.2)
    )
    before, after = list(engine.run(changed.time_s)), list(engine.run(START_S + SPAN_S))
    segment = OpenSegment(KeyFrame(time_s=START_S))
    records = [record for record in (*before, changed, *after) if not isinstance(record, IterationScheduled)]
    for record in records:
        segment.add(record)
    log = EngineLog()
    log.open([segment.seal()])
    return log._segment(0).records


def take_all(records: Iterable[StreamRecord]) -> EngineLog:
    log = EngineLog()
    log.take(make_snapshot(make_settings(256), requests=(make_request_status(99),)), START_S)
    for record in records:
        if isinstance(record, IterationStats):
            log.take(record.scheduled, record.start_s)
        log.take(record, START_S)
    return log


@cache
def recorded() -> EngineLog:
    log = take_all(told())
    log.seal()
    return log


def load_all(log: EngineLog) -> EngineLog:
    """Return a log that was read from the recording that another one made."""
    loaded = EngineLog()
    for frame in loaded.open(log.frames):
        loaded.survey(frame)
    return loaded


def view_at(log: EngineLog, time_s: float) -> EngineView:
    return log.state_at(time_s).view(time_s)


moments = st.floats(START_S - 1.0, START_S + SPAN_S + 1.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(moments, max_size=4), moments)
def test_a_moment_looks_the_same_whatever_was_looked_at_before(before: list[float], time_s: float) -> None:
    for other_s in before:
        view_at(recorded(), other_s)

    assert view_at(recorded(), time_s) == view_at(load_all(recorded()), time_s)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, sum(isinstance(record, IterationStats) for record in told()) - 1))
def test_a_moment_of_the_past_looks_as_it_did_when_it_was_now(number: int) -> None:
    now_s = [record.end_s for record in told() if isinstance(record, IterationStats)][number]
    records = [record for record in told() if time_of(record) <= now_s]
    live = take_all(records).state.view(now_s)

    past = view_at(recorded(), now_s)

    assert past.samples == live.samples
    assert past.tbt == live.tbt
    assert past.ttft == live.ttft
    assert past.stalls == live.stalls
    assert past.changes == live.changes
    assert past.settings == live.settings
    assert past.requests == live.requests
    assert past.attainment == live.attainment
    assert past.output_rate == live.output_rate
    assert past.kv_growth == live.kv_growth
    assert past.num_running == live.num_running


def test_a_recording_is_the_same_whenever_it_is_packed() -> None:
    at_once, at_last = EngineLog(), EngineLog()
    for record in told():
        for log in (at_once, at_last):
            log.take(record, START_S)
        at_once.pack()
    at_once.seal()
    at_last.seal()
    assert at_once.frames == at_last.frames
    assert len(at_last.frames) == 3


def test_going_on_from_the_past_leads_to_the_present() -> None:
    log = recorded()
    middle_s = START_S + SPAN_S / 2
    state = log.state_at(middle_s)
    for record in told():
        if isinstance(record, IterationStats) and record.end_s > middle_s:
            state.fold(record)

    assert state.view(log.end_s).samples == view_at(log, log.end_s).samples


def test_what_runs_at_a_moment_is_told_by_how_it_ended() -> None:
    iterations = [record for record in told() if isinstance(record, IterationStats)]
    for iteration in iterations[:: len(iterations) // 7]:
        running = view_at(recorded(), iteration.start_s + iteration.duration_s / 2).running
        assert running == iteration.scheduled


def test_a_recording_that_is_loaded_shows_what_was_recorded() -> None:
    live, loaded = recorded(), load_all(recorded())

    for time_s in (START_S + 3.0, START_S + 11.0, START_S + SPAN_S):
        assert view_at(loaded, time_s) == view_at(live, time_s)
    assert (loaded.start_s, loaded.end_s) == (live.start_s, live.end_s)


def test_any_moment_of_a_recording_is_seen_before_it_is_gone_through() -> None:
    live, opened = recorded(), EngineLog()
    opened.open(live.frames)

    for time_s in (START_S + SPAN_S, START_S + 3.0, START_S + 11.0):
        seen, wanted = view_at(opened, time_s), view_at(live, time_s)
        assert (seen.samples, seen.recent, seen.requests) == (wanted.samples, wanted.recent, wanted.requests)
    assert (opened.start_s, opened.end_s) == (live.start_s, live.end_s)
    assert opened.iteration_s(START_S + 5.0, 1) == live.iteration_s(START_S + 5.0, 1)
    assert opened.stall_s(START_S, 1) is None


def test_a_segment_that_cannot_be_read_is_one_in_which_nothing_happened() -> None:
    first, second, *others = recorded().frames
    broken = Frame.of(FrameKind.SEGMENT, second.time_s, b"no map")
    log = EngineLog()
    log.open([first, broken, *others])

    assert view_at(log, second.time_s + 0.5).samples == view_at(recorded(), second.time_s).samples
    assert log.iteration_s(second.time_s, 1) == recorded().iteration_s(others[0].time_s, 1)


def test_of_a_long_recording_the_last_hour_is_seen() -> None:
    keys = [KeyFrame(time_s=START_S + minute * 60.0) for minute in range(90)]
    frames = [OpenSegment(key).seal() for key in keys]
    log = EngineLog()

    assert len(log.open(frames)) == 61
    assert log.start_s == frames[-1].time_s - 3600.0


def test_a_loaded_recording_may_have_a_segment_for_every_second() -> None:
    segment, live = OpenSegment(take_all(()).state.key_frame(START_S)), take_all(())
    frames = []
    for record in told():
        if isinstance(record, IterationStats) and record.end_s - segment.key.time_s > 0.9:
            frames.append(segment.seal())
            segment = segment.followed_by(live.state.key_frame(live.end_s))
        segment.add(record)
        live.take(record, START_S)
    log = EngineLog()
    for frame in log.open([*frames, segment.seal()]):
        log.survey(frame)

    past, now = view_at(log, live.end_s), live.state.view(live.end_s)
    assert (past.samples, past.tbt, past.ttft, past.attainment) == (now.samples, now.tbt, now.ttft, now.attainment)


def test_steps_go_from_iteration_to_iteration_across_segments() -> None:
    ends_s = [record.end_s for record in told() if isinstance(record, IterationStats)]
    log = recorded()
    forward, time_s = [], START_S - 1.0
    while (following_s := log.iteration_s(time_s, 1)) is not None:
        forward.append(time_s := following_s)
    backward, time_s = [], START_S + SPAN_S + 1.0
    while (preceding_s := log.iteration_s(time_s, -1)) is not None:
        backward.append(time_s := preceding_s)

    assert forward == ends_s
    assert backward == ends_s[::-1]


def test_stalls_and_changes_are_found_in_both_directions() -> None:
    stalls_s = [record.time_s for record in told() if isinstance(record, StallEvent)]
    log = recorded()

    assert log.stall_s(stalls_s[0] - 0.001, 1) == stalls_s[0]
    assert log.stall_s(stalls_s[1], -1) == stalls_s[0]
    assert log.stall_s(stalls_s[-1], 1) is None
    assert log.change_s(START_S, 1) == START_S + 12.0
    assert log.change_s(START_S, -1) is None


def test_what_came_after_the_past_was_looked_at_is_taken_in() -> None:
    log = take_all(told()[:100])
    log.seal()
    before = view_at(log, log.end_s - 0.001)
    for record in told()[100:]:
        log.take(record, START_S)

    assert view_at(log, before.now_s) == before
    assert log.state.view(START_S + SPAN_S).samples == take_all(told()).state.view(START_S + SPAN_S).samples


def test_a_snapshot_of_another_connection_adds_what_was_missed_and_forgets_nothing() -> None:
    iterations = tuple(record for record in told() if isinstance(record, IterationStats))
    log = take_all(iterations[:50])
    log.take(make_snapshot(make_settings(256), iterations=iterations[30:90]), iterations[89].end_s)
    for iteration in iterations[90:]:
        log.take(iteration, iteration.end_s)
    log.seal()

    assert [sample.sequence_number for sample in view_at(log, log.end_s).samples] == [
        iteration.sequence_number for iteration in iterations
    ]


def test_the_daemons_life_is_part_of_the_past() -> None:
    log = take_all(told())
    log.take(LifeCycle(time_s=log.end_s + 1.0, state="restarting", message="the engine died"), START_S)
    log.seal()

    assert view_at(log, log.end_s).daemon_state == "restarting"
    assert view_at(log, log.end_s - 0.5).daemon_state == "ready"


def test_a_request_waits_from_its_arrival_on() -> None:
    log = take_all(told())
    arrival = RequestArrival(
        request_id=500, client="web", arrival_s=log.end_s + 0.5, num_prompt_tokens=70, max_tokens=9
    )
    log.take(arrival, START_S)
    log.seal()

    row = view_at(log, log.end_s).requests[-1]
    assert (row.request_id, row.state, row.client, row.num_prompt_tokens) == (500, "waiting", "web", 70)
    assert 500 not in {row.request_id for row in view_at(log, log.end_s - 0.1).requests}


def test_more_than_an_hour_is_forgotten() -> None:
    log = EngineLog()
    iteration = next(record for record in told() if isinstance(record, IterationStats))
    for minute in range(70):
        start_s = START_S + 60.0 * minute
        log.take(msgspec.structs.replace(iteration, start_s=start_s, sequence_number=minute), start_s)
    log.seal()

    assert log.start_s is not None
    assert MAX_LOG_S - 61.0 < log.end_s - log.start_s <= MAX_LOG_S + 61.0
    assert view_at(log, log.end_s).tbt == log.state.view(log.end_s).tbt


def test_without_a_record_there_is_no_past() -> None:
    log = EngineLog()
    log.seal()

    assert log.start_s is None
    assert log.iteration_s(START_S, 1) is None
    with pytest.raises(IndexError):
        log.state_at(START_S)
