"""The smallest iteration that is almost as good as any is found, also where the device is better than its profile."""

import math
from collections.abc import Callable

from sarathid.costmodel.correction import CorrectedCostModel
from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile
from sarathid.protocol.stats import ChunkStats
from sarathid.slo.efficiency import Efficiency

FALCON = IterationCostModel(find_profile("a100/falcon-180b-tp4-pp2"))
DECODES = IterationFeatures(24, 24 * 2000)


def found_on(
    device: Callable[[int], float] = lambda _: 1.0,
    *,
    run_tokens: int = 10_000,
    num_between: int = 30,
    fullness: float = 0.3,
    most_s: float = math.inf,
    num_stages: int = 2,
    num_runs: int = 120,
) -> int:
    """Return what is found on a device that takes so many times the profile's time at a number of prompt tokens.

    Runs of chunks, `run_tokens` each, alternate with a number of iterations without.
    """
    model = CorrectedCostModel(FALCON)
    efficiency = Efficiency(model, max_tokens=8192, num_stages=num_stages)

    def iterate(num_tokens: int) -> None:
        chunks = (ChunkShape(num_tokens, 2000),) if num_tokens else ()
        features = DECODES._replace(chunks=chunks)
        model.observe(features, FALCON.predict(features) * device(num_tokens))
        stats = tuple([ChunkStats(1, 2000, num_tokens, 8000) for _ in chunks])
        efficiency.observe(DECODES, stats, most_s, fullness)

    for _ in range(num_runs):
        num_left = run_tokens
        while num_left > 0:
            num_tokens = min(num_left, efficiency.num_tokens - DECODES.num_decodes)
            iterate(num_tokens)
            num_left -= num_tokens
        for _ in range(num_between):
            iterate(0)
    return efficiency.num_tokens


def test_a_device_as_its_profile_says_gets_the_size_from_which_on_little_is_gained() -> None:
    assert found_on() in (768, 1024)


def test_a_size_at_which_the_device_is_better_is_tried_and_kept() -> None:
    assert found_on(lambda num_tokens: 0.8 if num_tokens > 1536 else 1.0) > 1536


def test_a_size_at_which_the_device_is_worse_is_left() -> None:
    assert found_on(lambda num_tokens: 1.2 if num_tokens <= 1100 else 1.0) > 1100


def test_a_size_that_takes_more_than_the_target_is_of_no_use() -> None:
    assert found_on(lambda num_tokens: 0.8 if num_tokens > 1536 else 1.0, most_s=0.7) <= 1024


def test_short_runs_of_chunks_are_cut_smaller_since_they_end_unevenly() -> None:
    sizes = [found_on(run_tokens=run_tokens) for run_tokens in (1000, 10_000, 100_000)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_a_full_engine_cuts_smaller_since_its_decodes_are_what_others_wait_for() -> None:
    assert found_on(fullness=1.0) < found_on(fullness=0.0)


def test_prompts_that_never_end_get_large_chunks() -> None:
    assert found_on(num_between=0) > found_on(num_between=30)


def test_one_stage_keeps_to_the_size_at_which_the_device_is_best() -> None:
    assert found_on(lambda num_tokens: 1.3 if num_tokens > 1600 else 1.0, num_stages=1) == 1536


def test_the_target_alone_is_the_limit_of_one_stage_where_no_smaller_size_is_better() -> None:
    assert found_on(most_s=0.5, num_stages=1) == 8192


def test_no_more_is_useful_than_an_iteration_may_have() -> None:
    assert Efficiency(CorrectedCostModel(FALCON), max_tokens=300, num_stages=2).num_tokens <= 300
