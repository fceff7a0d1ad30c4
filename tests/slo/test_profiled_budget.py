"""A profiled budget is the largest of whole tiles whose worst iteration is in time."""

import pytest

from sarathid.costmodel.features import IterationFeatures
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile
from sarathid.costmodel.predictor import OnlineCostModel
from sarathid.slo.profiled_budget import WorstCase, profiled_budget

COST = IterationCostModel(find_profile("a100/yi-34b-tp2"))
WORST = WorstCase(num_decodes=64, decode_context=64 * 1500, max_model_len=4096)


def budget(target_s: float) -> int | None:
    return profiled_budget(COST, WORST, target_s, tile=128, min_tokens=64, max_tokens=8192)


@pytest.mark.parametrize("target_s", [0.15, 0.2, 0.5])
def test_one_tile_more_would_be_late(target_s: float) -> None:
    found = budget(target_s)
    assert found is not None
    assert found % 128 == 0
    assert COST.predict(WORST.features(found)) <= target_s < COST.predict(WORST.features(found + 128))


def test_the_bounds_hold_whatever_the_target() -> None:
    assert budget(1e-6) == 64
    assert budget(1e6) == 8192


def test_a_model_that_knows_nothing_gives_none() -> None:
    assert profiled_budget(OnlineCostModel(), WORST, 0.2, tile=1, min_tokens=16, max_tokens=8192) is None


def test_the_worst_case_counts_decodes_and_ends_the_longest_prompt() -> None:
    assert WORST.features(64) == IterationFeatures(64, 64 * 1500)
    (chunk,) = WORST.features(576).chunks
    assert (chunk.num_tokens, chunk.first_position) == (512, 4096 - 512)
