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


def found_on(device: Callable[[int], float], most_s: float = math.inf, num_iterations: int = 1000) -> int:
    """Return what is found on a device that takes so many times the profile's time at a number of prompt tokens."""
    model = CorrectedCostModel(FALCON)
    efficiency = Efficiency(model, max_tokens=8192)
    for _ in range(num_iterations):
        num_tokens = efficiency.num_tokens - DECODES.num_decodes
        features = IterationFeatures(*DECODES[:2], (ChunkShape(num_tokens, 2000),))
        model.observe(features, FALCON.predict(features) * device(num_tokens))
        efficiency.observe(DECODES, (ChunkStats(1, 2000, num_tokens, 8000),), most_s)
    return efficiency.num_tokens


def test_a_device_as_its_profile_says_gets_the_size_from_which_on_little_is_gained() -> None:
    assert found_on(lambda _: 1.0) in (768, 1024)


def test_a_size_at_which_the_device_is_better_is_tried_and_kept() -> None:
    assert found_on(lambda num_tokens: 0.8 if num_tokens > 1536 else 1.0) > 1536


def test_a_size_at_which_the_device_is_worse_is_left() -> None:
    assert found_on(lambda num_tokens: 1.2 if num_tokens <= 1100 else 1.0) > 1100


def test_a_size_that_takes_more_than_the_target_is_of_no_use() -> None:
    assert found_on(lambda num_tokens: 0.8 if num_tokens > 1536 else 1.0, most_s=0.7) <= 1024


def test_no_more_is_useful_than_an_iteration_may_have() -> None:
    assert Efficiency(CorrectedCostModel(FALCON), max_tokens=300).num_tokens <= 300
