"""Fitting recovers the costs of a device that is measured without noise, and bears a little of it."""

from random import Random

import numpy as np
import pytest

from sarathid.clock import VirtualClock
from sarathid.costmodel.cost_profile import CostProfile
from sarathid.costmodel.fit import FittedCosts, Sample, fit, non_negative_least_squares, relative_errors
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile
from sarathid.executor.profiler import measurable, measure
from sarathid.executor.simulated import SimulatedExecutor

LLAMA = find_profile("a40/llama2-7b-tp1")


def samples_of(profile: CostProfile) -> list[Sample]:
    clock = VirtualClock()
    executor = SimulatedExecutor(IterationCostModel(profile), clock, max_model_len=8192, block_size=16)
    info = executor.start()
    return [measure(executor, info, shape, clock) for shape in measurable(info, 64, 1024)]


def errors_of(costs: FittedCosts, samples: list[Sample]) -> tuple[float, float]:
    fitted = CostProfile(
        provenance=LLAMA.provenance,
        shape=LLAMA.shape,
        memory=LLAMA.memory,
        overhead=costs.overhead,
        linear=costs.linear,
        prefill_attention=costs.prefill_attention,
        decode_attention=costs.decode_attention,
        output_head=costs.output_head,
    )
    model = IterationCostModel(fitted)
    return relative_errors(
        [model.predict(sample.features) for sample in samples], [sample.seconds for sample in samples]
    )


def test_measuring_takes_what_the_iteration_takes() -> None:
    model = IterationCostModel(LLAMA)
    samples = samples_of(LLAMA)

    assert len(samples) > 80
    assert [sample.seconds for sample in samples] == pytest.approx(
        [model.predict(sample.features) for sample in samples]
    )


def test_the_costs_of_a_device_are_recovered() -> None:
    samples = samples_of(LLAMA)
    median, p95 = errors_of(fit(samples, LLAMA.shape.num_layers), samples)

    assert median < 0.03
    assert p95 < 0.12


def test_noise_moves_the_fit_little() -> None:
    rng = Random(1)
    exact = samples_of(LLAMA)
    noisy = [Sample(features, seconds * rng.uniform(0.9, 1.1)) for features, seconds in exact]
    median, p95 = errors_of(fit(noisy, LLAMA.shape.num_layers), exact)

    assert median < 0.05
    assert p95 < 0.15


def test_least_squares_keeps_every_factor_at_or_above_zero() -> None:
    rng = np.random.default_rng(2)
    a = rng.uniform(size=(40, 6))
    truth = np.array([3.0, 0.0, 1.0, 0.0, 0.5, 2.0])

    assert non_negative_least_squares(a, a @ truth) == pytest.approx(truth, abs=1e-9)
    assert non_negative_least_squares(a, a @ np.array([1.0, -1.0, 0, 0, 0, 0])).min() >= 0.0
