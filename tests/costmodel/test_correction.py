"""Predictions follow what iterations really take: by regime, past outliers, at once when the device changes."""

import math
from random import Random

import pytest

from sarathid.costmodel.correction import CorrectedCostModel
from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.costmodel.predictor import OnlineCostModel

DECODES = IterationFeatures(32, 32 * 1000)
MIXED = IterationFeatures(32, 32 * 1000, (ChunkShape(512, 0),))
LARGE = IterationFeatures(32, 32 * 1000, (ChunkShape(3000, 0),))


class LinearModel:
    """A millisecond a token, and nothing is learned."""

    def predict(self, features: IterationFeatures) -> float | None:
        return 1e-3 * (features.num_decodes + features.num_prefill_tokens)

    def observe(self, features: IterationFeatures, seconds: float) -> None:
        pass


def real_s(features: IterationFeatures, factor: float) -> float:
    return 1e-3 * (features.num_decodes + features.num_prefill_tokens) * factor


def test_nothing_is_corrected_before_anything_was_seen() -> None:
    assert CorrectedCostModel(LinearModel()).predict(MIXED) == pytest.approx(real_s(MIXED, 1.0))


def test_each_regime_gets_its_own_factor() -> None:
    model, random = CorrectedCostModel(LinearModel()), Random(1)
    factors = {DECODES: 0.85, MIXED: 1.2, LARGE: 1.05}
    for _ in range(300):
        features = random.choice(list(factors))
        model.observe(features, real_s(features, factors[features] * random.lognormvariate(0.0, 0.05)))
    for features, factor in factors.items():
        assert model.predict(features) == pytest.approx(real_s(features, factor), rel=0.05)


def test_one_outlier_hardly_moves_a_prediction() -> None:
    model, random = CorrectedCostModel(LinearModel()), Random(2)
    for _ in range(100):
        model.observe(MIXED, real_s(MIXED, random.lognormvariate(0.0, 0.05)))
    before = model.factor(MIXED)
    model.observe(MIXED, real_s(MIXED, 20.0))
    assert model.factor(MIXED) == pytest.approx(before, rel=0.03)


@pytest.mark.parametrize("speed", [0.5, 2.0, 4.0])
def test_a_device_that_changes_its_speed_is_followed_within_a_few_iterations_in_every_regime(speed: float) -> None:
    model, random = CorrectedCostModel(LinearModel()), Random(3)
    for _ in range(200):
        features = random.choice((DECODES, MIXED))
        model.observe(features, real_s(features, random.lognormvariate(0.0, 0.05)))
    for _ in range(6):
        model.observe(MIXED, real_s(MIXED, random.lognormvariate(math.log(speed), 0.05)))
    for features in (DECODES, MIXED):
        assert model.predict(features) == pytest.approx(real_s(features, speed), rel=0.15)


def test_a_base_model_that_learns_is_not_taught_a_passing_slowness() -> None:
    base = OnlineCostModel()
    model, random = CorrectedCostModel(base), Random(4)
    for _ in range(200):
        features = random.choice((DECODES, MIXED))
        model.observe(features, real_s(features, random.lognormvariate(0.0, 0.03)))
    for _ in range(40):
        features = random.choice((DECODES, MIXED))
        model.observe(features, real_s(features, 2.0 * random.lognormvariate(0.0, 0.03)))
    assert model.predict(MIXED) == pytest.approx(real_s(MIXED, 2.0), rel=0.1)
    assert base.predict(MIXED) == pytest.approx(real_s(MIXED, 1.0), rel=0.1)


def test_without_a_base_prediction_there_is_none() -> None:
    assert CorrectedCostModel(OnlineCostModel()).predict(DECODES) is None


@pytest.mark.parametrize(("num_samples", "num_iterations"), [(3, 2048), (100, 4096)])
def test_what_a_regime_no_longer_seen_was_off_by_is_forgotten(num_samples: int, num_iterations: int) -> None:
    model, random = CorrectedCostModel(LinearModel()), Random(5)
    for _ in range(100):
        model.observe(MIXED, real_s(MIXED, random.lognormvariate(0.0, 0.05)))
    for _ in range(num_samples):
        model.observe(LARGE, real_s(LARGE, 1.5 * random.lognormvariate(0.0, 0.05)))
        model.observe(MIXED, real_s(MIXED, random.lognormvariate(0.0, 0.05)))
    slow = model.factor(LARGE) / model.factor(MIXED)
    for _ in range(num_iterations):
        model.observe(MIXED, real_s(MIXED, random.lognormvariate(0.0, 0.05)))
    assert slow > 1.1
    assert model.factor(LARGE) / model.factor(MIXED) < 1.0 + (slow - 1.0) / 3.0
