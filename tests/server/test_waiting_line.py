import msgspec
import pytest

from sarathid.protocol.control import RequestState, RequestStatus
from sarathid.protocol.stats import Blocker, EngineInfo, IterationStats
from sarathid.protocol.why import ServiceRates
from sarathid.server.waiting_line import WaitingLine
from tests.factories import Engine, make_iteration

RATES = ServiceRates(window_s=30.0, prefill_tokens_per_s=500.0, ends_per_s=2.0, tbt_s=0.05)


def make_status(
    request_id: int,
    state: RequestState,
    *,
    num_prompt: int = 100,
    num_computed: int = 0,
    num_output: int = 0,
    max_tokens: int | None = None,
) -> RequestStatus:
    return RequestStatus(
        request_id=request_id,
        state=state,
        client="",
        age_s=1.0,
        num_prompt_tokens=num_prompt,
        num_computed_tokens=num_computed,
        num_output_tokens=num_output,
        max_tokens=max_tokens,
        ttft_s=None,
        tbt_last_s=None,
        tbt_max_s=None,
        num_stalls=0,
        num_preemptions=0,
    )


def make_engine(num_blocks: int = 1000, max_num_seqs: int = 16, num_watermark_blocks: int = 0) -> EngineInfo:
    return msgspec.structs.replace(
        Engine.info(),
        num_blocks=num_blocks,
        block_size=10,
        max_num_seqs=max_num_seqs,
        num_watermark_blocks=num_watermark_blocks,
    )


def make_last(num_free: int = 900, blocked_by: Blocker | None = Blocker.BUDGET) -> IterationStats:
    return msgspec.structs.replace(make_iteration(), num_blocks_free=num_free, blocked_by=blocked_by)


def waiting(first_id: int, count: int) -> list[RequestStatus]:
    return [make_status(first_id + index, RequestState.WAITING) for index in range(count)]


def test_behind_prompts_it_starts_when_all_their_tokens_are_computed() -> None:
    running = [
        make_status(1, RequestState.DECODE, num_computed=140, num_output=41),
        make_status(2, RequestState.PREFILL, num_prompt=700, num_computed=200),
    ]
    line = WaitingLine([*running, *waiting(3, 3)], make_engine(), make_last(), RATES)
    reasons = line.reasons(5, None)

    assert (reasons.position, reasons.num_waiting, reasons.head.request_id) == (3, 3, 3)
    assert (reasons.num_tokens_ahead, reasons.num_ends_ahead) == (500 + 2 * 100, 0)
    assert reasons.starts_in_s == pytest.approx(700 / 500.0)
    assert reasons.num_blocks_promised == 50


def test_a_preempted_request_computes_its_answer_again() -> None:
    preempted = make_status(1, RequestState.PREEMPTED, num_output=50)
    line = WaitingLine([preempted, *waiting(2, 1)], make_engine(), make_last(), RATES)
    assert line.reasons(2, None).num_tokens_ahead == 150


def test_without_a_place_others_have_to_end() -> None:
    running = [make_status(number, RequestState.DECODE, num_output=1) for number in (1, 2, 3, 4)]
    line = WaitingLine([*running, *waiting(5, 3)], make_engine(max_num_seqs=5), make_last(), RATES)
    assert [line.reasons(number, None).num_ends_ahead for number in (5, 6, 7)] == [0, 1, 2]
    assert line.starts_in_s(7) == pytest.approx(2 / 2.0)


def test_without_blocks_so_many_have_to_end_as_hold_them() -> None:
    running = [make_status(number, RequestState.DECODE, num_output=1) for number in (1, 2, 3, 4)]
    engine = make_engine(num_blocks=100, num_watermark_blocks=5)
    line = WaitingLine([*running, *waiting(5, 2)], engine, make_last(num_free=8, blocked_by=Blocker.BLOCKS), RATES)
    reasons = line.reasons(5, None)
    assert (reasons.num_blocks_needed, reasons.num_blocks_free) == (10, 8)
    assert reasons.num_ends_ahead == 1  # 10 + 5 - 8 = 7 blocks are missing, and each of the four holds 23
    assert line.reasons(6, None).num_ends_ahead == 1


def test_limits_of_length_say_the_latest_moment_where_nothing_has_ended_yet() -> None:
    running = [make_status(number, RequestState.DECODE, num_output=10, max_tokens=10 * number) for number in (3, 5)]
    rates = msgspec.structs.replace(RATES, ends_per_s=0.0)
    line = WaitingLine([*running, *waiting(6, 2)], make_engine(max_num_seqs=2), make_last(), rates)
    assert line.starts_in_s(6) == pytest.approx(20 * 0.05)
    assert line.starts_in_s(7) == pytest.approx(40 * 0.05)


def test_who_follows_one_that_ends_has_to_end_too() -> None:
    running = [make_status(1, RequestState.DECODE, num_output=10, max_tokens=20)]
    first = make_status(2, RequestState.WAITING, num_prompt=250, max_tokens=6)
    rates = msgspec.structs.replace(RATES, ends_per_s=0.0)
    line = WaitingLine([*running, first, *waiting(3, 1)], make_engine(max_num_seqs=1), make_last(), rates)
    assert line.reasons(3, None).num_ends_ahead == 2
    assert line.starts_in_s(3) == pytest.approx(10 * 0.05 + 250 / 500.0 + 6 * 0.05)


def test_nothing_is_promised_where_the_rates_tell_nothing() -> None:
    running = [make_status(1, RequestState.DECODE, num_output=10)]
    unknown = ServiceRates(window_s=30.0, prefill_tokens_per_s=None, ends_per_s=0.0, tbt_s=0.05)
    assert WaitingLine([*running, *waiting(2, 1)], make_engine(max_num_seqs=1), None, unknown).starts_in_s(2) is None
    assert WaitingLine(waiting(2, 2), make_engine(), None, unknown).starts_in_s(3) is None
    assert WaitingLine(waiting(2, 2), make_engine(), None, unknown).starts_in_s(2) == 0.0


def test_a_request_that_is_held_waits_for_an_end() -> None:
    running = [make_status(number, RequestState.DECODE, num_output=1) for number in (1, 2, 3)]
    line = WaitingLine([*running, *waiting(5, 2)], make_engine(), make_last(blocked_by=Blocker.HOLD), RATES)
    assert [line.reasons(number, None).num_ends_ahead for number in (5, 6)] == [1, 2]


def test_owners_take_turns_behind_what_has_run_before() -> None:
    def make(request_id: int, owner: str, place: int, state: RequestState = RequestState.WAITING) -> RequestStatus:
        return msgspec.structs.replace(make_status(request_id, state), owner=owner, place=place)

    flood = [make(number, "flood", number) for number in (1, 2, 3)]
    urgent = make(4, "flood", 4 - 32)
    web = [make(number, "web", number) for number in (5, 6)]
    resumed = make(7, "flood", 0, RequestState.PREEMPTED)
    line = WaitingLine([*flood, urgent, *web, resumed], make_engine(), make_last(), RATES, {"flood": 0, "web": 150})

    order = sorted((number for number in range(1, 8)), key=lambda number: line.reasons(number, None).position)
    assert order == [7, 5, 6, 4, 1, 2, 3]
    assert line.reasons(1, None).deficits == {"flood": 0, "web": 150}
