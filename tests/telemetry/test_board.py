import msgspec
import pytest

from sarathid.protocol.control import MAX_HISTORY
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import (
    Blocker,
    BudgetBound,
    BudgetPlan,
    ChunkStats,
    FirstToken,
    LifeCycle,
    Overload,
    RequestStats,
    SettingsChanged,
    StallCause,
    StallEvent,
    TokenGap,
)
from sarathid.telemetry.board import MAX_EVENTS, Board
from tests.factories import make_iteration


def make_stall(cause: StallCause, num_victims: int) -> StallEvent:
    victims = tuple(TokenGap(request_id, 0.5) for request_id in range(num_victims))
    return StallEvent(iteration=1, time_s=1.0, target_s=0.1, victims=victims, cause=cause, parts={cause: 0.5})


def make_ended(finish_reason: FinishReason) -> RequestStats:
    return RequestStats(
        request_id=1,
        client="",
        arrival_s=0.0,
        scheduled_s=0.1,
        first_token_s=0.2,
        finished_s=1.0,
        finish_reason=finish_reason,
        num_prompt_tokens=8,
        num_output_tokens=4,
        num_preemptions=0,
        num_recomputed_tokens=0,
        num_stalls=0,
        tbt_p50_s=0.05,
        tbt_max_s=0.1,
    )


def test_an_iteration_counts_its_tokens_once() -> None:
    board = Board()
    chunks = (ChunkStats(3, 0, 60, 100), ChunkStats(4, 0, 4, 4))
    gaps = (TokenGap(1, 0.05), TokenGap(2, 0.07))
    stats = make_iteration(chunks=chunks, gaps=gaps, preempted=(9,))
    board.observe(msgspec.structs.replace(stats, first_tokens=(FirstToken(4, 0.3),)))

    assert (board.num_iterations, board.num_output_tokens, board.num_prefill_tokens) == (1, 3, 64)
    assert board.num_preemptions == 1
    assert board.last is not None


def test_percentiles_are_of_the_last_minute() -> None:
    board = Board()
    board.observe(make_iteration(0, start_s=0.0, gaps=(TokenGap(1, 9.0),)))
    board.observe(make_iteration(1, start_s=100.0, gaps=(TokenGap(1, 0.05),)))

    recent = board.tbt(now_s=101.0)
    assert (recent.count, recent.max_s) == (1, 0.05)
    assert board.tbt(now_s=300.0).p99_s is None
    assert board.tbt_seconds.max_s == 9.0


def test_stalls_are_counted_by_victim_and_cause_and_ends_by_reason() -> None:
    board = Board()
    for record in (make_stall(StallCause.PREFILL, 3), make_stall(StallCause.SLOW_READER, 1)):
        board.observe(record)
    for reason in (FinishReason.STOP, FinishReason.CANCELLED, FinishReason.STOP):
        board.observe(make_ended(reason))

    assert board.num_stalls == {StallCause.PREFILL: 3, StallCause.SLOW_READER: 1}
    assert board.num_finished == {FinishReason.STOP: 2, FinishReason.CANCELLED: 1}
    assert len(board.events) == 2


def test_a_change_and_an_overload_outlive_a_flood_of_stalls() -> None:
    board = Board()
    changed = SettingsChanged(time_s=0.5, iteration=1, revision=1, token_budget=512, policy="stall-free", slo=SLO())
    board.observe(changed)
    for _ in range(MAX_EVENTS + 1):
        board.observe(make_stall(StallCause.DECODE, 1))
    board.observe(ended := LifeCycle(time_s=2.0, state="restarting", message="killed"))

    assert (board.events[0], board.events[-1], len(board.events)) == (changed, ended, MAX_EVENTS + 2)


def make_plan(bound: BudgetBound, *, headroom: float = 0.85, correction: float = 1.1) -> BudgetPlan:
    return BudgetPlan(
        bound=bound, planned_s=0.08, limit_s=0.07, decode_s=0.02, correction=correction, headroom=headroom
    )


def test_iterations_are_counted_by_what_bound_them() -> None:
    board = Board()
    cut, whole = (ChunkStats(3, 0, 60, 100),), (ChunkStats(3, 60, 40, 100),)
    for stats in (
        make_iteration(1, chunks=cut),
        make_iteration(2, chunks=whole),
        msgspec.structs.replace(make_iteration(3, chunks=whole), blocked_by=Blocker.BUDGET),
        msgspec.structs.replace(make_iteration(4), blocked_by=Blocker.BLOCKS),
        msgspec.structs.replace(make_iteration(5, chunks=cut), plan=make_plan(BudgetBound.TARGET)),
    ):
        board.observe(stats)

    assert board.num_by_bound == {BudgetBound.FIXED: 2, BudgetBound.DEMAND: 2, BudgetBound.TARGET: 1}


def test_predictions_are_held_against_what_the_executor_took() -> None:
    board = Board()
    assert board.prediction_error(now_s=1.0).p50 is None
    for number, predicted_s in enumerate((0.05, 0.055, 0.04, None)):
        board.observe(make_iteration(number, execute_s=0.05, predicted_s=predicted_s))

    error = board.prediction_error(now_s=1.0)
    assert error.count == 3
    assert error.p50 == pytest.approx(0.1, rel=0.02)
    assert error.p95 == pytest.approx(0.2)


def test_an_overload_lasts_until_it_is_over_or_the_settings_or_the_engine_are_gone() -> None:
    board = Board()
    begins = Overload(
        time_s=1.0, iteration=7, is_overloaded=True, num_decodes=90, most_decodes=60, decode_s=0.15, planned_s=0.1
    )
    board.observe(begins)
    assert board.overload == begins
    board.observe(msgspec.structs.replace(begins, is_overloaded=False))
    assert board.overload is None
    board.observe(begins)
    board.observe(LifeCycle(time_s=2.0, state="restarting", message="the engine died"))
    assert board.overload is None
    board.observe(begins)
    board.observe(
        SettingsChanged(time_s=3.0, iteration=9, revision=1, token_budget=512, policy="stall-free", slo=SLO())
    )
    assert board.overload is None


def test_a_long_life_takes_bounded_memory() -> None:
    board = Board()
    for number in range(MAX_HISTORY + 10):
        board.observe(make_iteration(number))

    assert len(board.iterations) == MAX_HISTORY
    assert board.num_iterations == MAX_HISTORY + 10
