"""The fold from records to what screens show."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from sarathictl.state.engine_state import MAX_SAMPLES, EngineState
from sarathictl.state.engine_view import EngineView
from sarathid.protocol.control import RequestState
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import (
    ChunkStats,
    Heartbeat,
    IterationScheduled,
    IterationStats,
    LifeCycle,
    RequestArrival,
    RequestStats,
    SettingsChanged,
    StallEvent,
    StreamRecord,
)
from tests.sarathictl.records import START_S, PaperEngine, make_request_status, make_settings, make_snapshot

RECORDS = tuple(PaperEngine(make_settings(256)).run(START_S + 8.0))
END_S = START_S + 9.0


def view_after(records: tuple[StreamRecord, ...], state: EngineState | None = None) -> EngineView:
    state = state or EngineState.from_snapshot(make_snapshot(make_settings(256)), START_S)
    for record in records:
        state.fold(record)
    return state.view(END_S)


def iterations_of(records: tuple[StreamRecord, ...]) -> tuple[IterationStats, ...]:
    return tuple(record for record in records if isinstance(record, IterationStats))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, len(RECORDS)), max_size=6))
def test_looking_between_records_changes_nothing(cuts: list[int]) -> None:
    state = EngineState.from_snapshot(make_snapshot(make_settings(256)), START_S)
    start = 0
    for cut in [*sorted(cuts), len(RECORDS)]:
        for record in RECORDS[start:cut]:
            state.fold(record)
        state.view(START_S + cut)
        start = cut
    assert state.view(END_S) == view_after(RECORDS)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, len(RECORDS)), st.integers(0, 30))
def test_a_late_snapshot_and_the_rest_show_what_all_records_show(cut: int, overlap: int) -> None:
    before = RECORDS[:cut]
    snapshot = make_snapshot(make_settings(256), iterations=iterations_of(before))
    snapshot = msgspec.structs.replace(
        snapshot, events=tuple(record for record in before if isinstance(record, StallEvent))
    )
    rest = tuple(
        record
        for record in RECORDS[max(0, cut - overlap) :]
        if not (isinstance(record, StallEvent) and record in before)
    )
    late, full = view_after(rest, EngineState.from_snapshot(snapshot, START_S)), view_after(RECORDS)
    assert (late.samples, late.stalls, late.tbt, late.ttft) == (full.samples, full.stalls, full.tbt, full.ttft)
    assert (late.attainment, late.output_rate, late.kv_growth) == (full.attainment, full.output_rate, full.kv_growth)


def test_gaps_above_the_target_are_counted_and_lower_the_attainment() -> None:
    view = view_after(RECORDS)
    assert view.tbt[0].p99_s is not None
    assert view.tbt[0].p99_s > 0.1
    assert view.num_recent_stalls == len(view.stalls) > 0
    assert view.attainment is not None
    assert 0.0 < view.attainment < 1.0


def test_an_iteration_without_its_end_is_running_now() -> None:
    scheduled = next(record for record in reversed(RECORDS) if isinstance(record, IterationScheduled))
    records = RECORDS[: RECORDS.index(scheduled) + 1]
    assert view_after(records).running == scheduled
    assert view_after(RECORDS).running is None


def test_who_comes_while_an_iteration_runs_waits_and_who_is_in_it_does_not() -> None:
    state = EngineState.from_snapshot(make_snapshot(make_settings(256)), START_S)
    for request_id in (1, 2):
        state.fold(
            RequestArrival(
                request_id=request_id, client="", arrival_s=START_S + 1.0, num_prompt_tokens=400, max_tokens=9
            )
        )
    assert (state.view(END_S).num_running, state.view(END_S).num_waiting) == (0, 2)

    state.fold(
        IterationScheduled(
            sequence_number=1,
            start_s=START_S + 1.5,
            token_budget=256,
            num_decode_tokens=0,
            chunks=(ChunkStats(1, 0, 256, 400),),
        )
    )
    view = state.view(END_S)
    assert (view.num_running, view.num_waiting) == (1, 1)
    assert [row.state for row in view.requests] == [RequestState.PREFILL, RequestState.WAITING]
    assert view.longest_wait_s == END_S - START_S - 1.0


def test_a_request_has_the_priority_that_it_came_with() -> None:
    state = EngineState.from_snapshot(make_snapshot(make_settings(256)), START_S)
    urgent = RequestArrival(
        request_id=1, client="", arrival_s=START_S + 1.0, num_prompt_tokens=4, max_tokens=9, priority=-5
    )
    state.fold(urgent)
    assert [row.priority for row in state.view(END_S).requests] == [-5]


def test_requests_advance_with_each_iteration_between_two_lists() -> None:
    engine = PaperEngine(make_settings(256), num_streams=1)
    rows = view_after(tuple(engine.run(START_S + 0.5))).requests
    (paper,) = engine.requests
    assert [(row.request_id, row.state, row.num_output_tokens) for row in rows] == [
        (paper.request_id, RequestState.DECODE, paper.num_output)
    ]
    assert rows[0].tbt_last_s == paper.gaps[-1]


def test_a_list_of_requests_replaces_what_was_known() -> None:
    state = EngineState.from_snapshot(make_snapshot(), START_S)
    state.replace_requests([make_request_status(17)], START_S + 7.0)
    (row,) = state.view(END_S).requests
    assert row.arrival_s == START_S + 7.0 - 6.2
    assert row.client == "web-7"


def test_a_request_that_ended_leaves_the_table() -> None:
    engine = PaperEngine(make_settings(256), num_streams=0)
    engine.now_s = START_S + 1.5
    view = view_after(tuple(engine.run(START_S + 4.9)))
    assert view.requests == ()


def test_a_change_of_settings_is_in_force_for_the_gaps_that_follow() -> None:
    changed = SettingsChanged(
        time_s=START_S, iteration=1, revision=2, token_budget=64, policy="stall-free", slo=SLO(), changed_by="ops"
    )
    view = view_after((changed, *RECORDS))
    assert view.settings == make_settings(64, revision=2, tbt_s=None) or view.slo == SLO()
    assert view.attainment == 1.0
    assert view.changes == (changed,)


def test_a_change_whose_record_was_lost_is_taken_from_the_next_iteration() -> None:
    engine = PaperEngine(make_settings(64, revision=5))
    view = view_after(tuple(engine.run(START_S + 0.2)))
    assert view.settings is not None
    assert (view.settings.revision, view.settings.token_budget) == (5, 64)


def test_the_state_of_the_daemon_comes_from_life_cycle_and_heartbeat() -> None:
    restarting = LifeCycle(time_s=END_S, state="restarting", message="the engine died")
    assert view_after((*RECORDS, restarting)).daemon_state == "restarting"
    assert view_after((restarting, Heartbeat(time_s=END_S, state="ready"))).daemon_state == "ready"


def test_memory_is_bounded_however_long_it_runs() -> None:
    state = EngineState.from_snapshot(make_snapshot(), START_S)
    engine = PaperEngine(make_settings(256), num_streams=1, prompt_every_s=1e9)
    while engine._sequence_number < MAX_SAMPLES + 100:
        for record in engine.step():
            state.fold(record)
    assert len(state.view(engine.now_s).samples) == MAX_SAMPLES


def test_an_ended_request_is_dropped_even_if_its_last_iteration_was_missed() -> None:
    ended: Any = next(
        record for record in PaperEngine(num_streams=1).run(START_S + 200.0) if isinstance(record, RequestStats)
    )
    state = EngineState.from_snapshot(make_snapshot(requests=(make_request_status(ended.request_id),)), START_S)
    state.fold(ended)
    assert state.view(END_S).requests == ()
