"""A budget in seconds grants the most that fits, by prediction, beside the decodes of the batch."""

import math

import pytest

from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.costmodel.forecast import PipelineForecast
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile
from sarathid.kvcache.block_table import BlockTable
from sarathid.protocol.stats import BudgetBound
from sarathid.scheduler.decode_load import DecodeLoad
from sarathid.scheduler.sequence import Sequence
from sarathid.slo.time_budget import TimeBudget
from tests.factories import make_request

YI = find_profile("a100/yi-34b-tp2")
COST = IterationCostModel(YI)
NOW_S = 100.0


def make_sequence(num_tokens: int, num_computed_tokens: int = 0) -> Sequence:
    sequence = Sequence(make_request(1, num_tokens), 0, 16_384, BlockTable(16))
    sequence.num_computed_tokens = num_computed_tokens
    return sequence


def decodes(number: int, context: int = 1000, *last_tokens_s: float) -> DecodeLoad:
    return DecodeLoad(number, number * context, set(last_tokens_s or (NOW_S,)))


def make_budget(target_s: float = 0.2, num_stages: int = 1, **others: object) -> TimeBudget:
    terms: dict[str, object] = {"max_tokens": 8192, "floor_tokens": 16, "tile": YI.linear.tile}
    return TimeBudget(COST, PipelineForecast(num_stages), target_s=target_s, now_s=NOW_S, **(terms | others))  # type: ignore[arg-type]


def cost_s(num_decodes: int, *chunks: ChunkShape, context: int = 1000) -> float:
    return COST.predict(IterationFeatures(num_decodes, num_decodes * context, chunks))


@pytest.mark.parametrize("num_decodes", [1, 32, 100])
@pytest.mark.parametrize("first_position", [0, 3000])
@pytest.mark.parametrize("target_s", [0.1, 0.2, 0.4])
def test_the_largest_chunk_of_whole_tiles_that_fits_is_granted(
    num_decodes: int, first_position: int, target_s: float
) -> None:
    budget = make_budget(target_s)
    budget.charge_decodes(decodes(num_decodes))
    granted = budget.take(make_sequence(8000, num_computed_tokens=first_position), 8000 - first_position)

    tile = YI.linear.tile
    assert (num_decodes + granted) % tile == 0
    assert cost_s(num_decodes, ChunkShape(granted, first_position)) <= target_s
    assert cost_s(num_decodes, ChunkShape(granted + tile, first_position)) > 0.98 * target_s
    assert budget.is_spent
    assert budget.bound is BudgetBound.TARGET


def test_what_is_left_goes_to_the_next_prompt() -> None:
    budget = make_budget()
    budget.charge_decodes(decodes(8))
    assert budget.take(make_sequence(100), 100) == 100
    assert not budget.is_spent
    second = budget.take(make_sequence(5000), 5000)
    assert cost_s(8, ChunkShape(100, 0), ChunkShape(second, 0)) <= 0.2
    assert budget.num_tokens == 108 + second


def test_the_tightest_decode_that_can_still_be_in_time_sets_the_limit() -> None:
    budget = make_budget(0.2)
    in_time_s, hopeless_s = NOW_S - 0.05, NOW_S - 0.19
    budget.charge_decodes(decodes(6, 1000, NOW_S, in_time_s, hopeless_s))
    assert budget.limit_s == pytest.approx(0.15)


def test_nothing_but_the_most_tokens_bounds_a_batch_without_decodes() -> None:
    budget = make_budget(0.2, max_tokens=3000)
    assert budget.take(make_sequence(8000), 8000) == 3000
    assert budget.bound is BudgetBound.MOST
    assert budget.limit_s == math.inf


def test_a_prompt_alone_gets_what_takes_five_seconds() -> None:
    slow = IterationCostModel(YI, correction=20.0)
    budget = TimeBudget(slow, PipelineForecast(1), target_s=0.2, now_s=NOW_S, max_tokens=8192, floor_tokens=16)
    granted = budget.take(make_sequence(8000), 8000)
    assert 20.0 * cost_s(0, ChunkShape(granted, 0)) <= 5.0 < 20.0 * cost_s(0, ChunkShape(granted + YI.linear.tile, 0))
    assert budget.bound is BudgetBound.USE
    assert budget.is_spent


def test_decodes_of_other_batches_bound_one_in_a_pipeline() -> None:
    budget = make_budget(0.2, num_stages=2)
    assert cost_s(0, ChunkShape(budget.take(make_sequence(8000), 8000), 0)) <= 0.2


@pytest.mark.parametrize("num_stages", [1, 2])
def test_batches_are_of_the_useful_size_where_the_target_allows_more(num_stages: int) -> None:
    few, many = (make_budget(5.0, num_stages=num_stages, useful_tokens=1024) for _ in range(2))
    few.charge_decodes(decodes(8))
    many.charge_decodes(decodes(100))
    assert [budget.take(make_sequence(8000), 8000) for budget in (few, many)] == [1016, 924]
    assert (few.bound, many.num_tokens) == (BudgetBound.USE, 1024)


def test_a_batch_gets_what_the_target_allows_behind_those_in_flight() -> None:
    forecast, sequence = PipelineForecast(2), make_sequence(8000)
    forecast.launch(NOW_S, 0.2)
    budget = TimeBudget(COST, forecast, target_s=0.4, now_s=NOW_S, max_tokens=8192, floor_tokens=16)
    budget.charge_decodes(decodes(8))
    granted = budget.take(sequence, 8000)
    assert forecast.latency_s(NOW_S, cost_s(8, ChunkShape(granted, 0))) <= 0.4
    assert forecast.latency_s(NOW_S, cost_s(8, ChunkShape(granted + 64, 0))) > 0.39


def test_a_prompt_that_waited_for_half_of_its_target_gets_all_the_time_there_is() -> None:
    in_time, urgent = (make_budget(0.9, useful_tokens=512, ttft_s=target_s) for target_s in (250.0, 150.0))
    for budget in (in_time, urgent):
        budget.charge_decodes(decodes(32))
        budget.take(make_sequence(16_000), 16_000)
    assert in_time.bound is BudgetBound.USE
    assert urgent.bound is BudgetBound.TARGET
    assert urgent.limit_s == pytest.approx(0.9)


def test_decodes_that_sit_an_iteration_out_are_in_time_in_the_next() -> None:
    budget = make_budget(0.2)
    budget.spare_decodes(decodes(32))
    granted = budget.take(make_sequence(8000), 8000)
    assert cost_s(0, ChunkShape(granted + YI.linear.tile, 0)) + cost_s(32) > 0.98 * 0.2
    assert cost_s(0, ChunkShape(granted, 0)) + cost_s(32) <= 0.2


def test_prompts_get_on_where_decodes_leave_nothing() -> None:
    budget = make_budget(0.01)
    budget.charge_decodes(decodes(100))
    assert budget.take(make_sequence(500, num_computed_tokens=1), 499) == 16
    assert budget.bound is BudgetBound.FLOOR
    assert budget.take(make_sequence(500, num_computed_tokens=1), 499) == 0


def test_a_request_is_held_back_where_decodes_alone_would_be_late_with_it() -> None:
    target_s = cost_s(64)
    held, admitted = make_budget(target_s, holds_back_for_s=target_s), make_budget(target_s)
    for budget in (held, admitted):
        budget.charge_decodes(decodes(64))
    assert held.take(make_sequence(1000), 1000) == 0
    assert held.bound is BudgetBound.HOLD
    assert admitted.take(make_sequence(1000), 1000) > 0


def test_nobody_is_held_back_where_nobody_runs() -> None:
    assert make_budget(1e-6, holds_back_for_s=1.0).take(make_sequence(1000), 1000) == 1000
