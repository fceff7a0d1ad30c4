"""Fitting recovers the costs of a device that is measured without noise, and bears a little of it."""

from random import Random

import msgspec
import numpy as np
import pytest

from sarathid.clock import VirtualClock
from sarathid.costmodel.cost_profile import CostProfile, Embedding, OutputHead, SendRecv
from sarathid.costmodel.fit import (
    FittedCosts,
    Sample,
    SentStream,
    fit,
    fit_sends,
    non_negative_least_squares,
    relative_errors,
)
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile
from sarathid.executor.profiler import measurable, measure
from sarathid.executor.simulated import SimulatedExecutor

LLAMA = find_profile("a40/llama2-7b-tp1")
STAGES = msgspec.structs.replace(
    LLAMA,
    shape=msgspec.structs.replace(LLAMA.shape, pipeline_parallel=3),  # 11, 11 and 10 layers
    embedding=Embedding(base_us=300.0, us_per_token=1.5),
    output_head=OutputHead(floor_us=4000.0, us_per_row=250.0),
    send_recv=SendRecv(table=((0.0, 0.0), (1.0, 0.0))),
)


def samples_of(profile: CostProfile) -> list[Sample]:
    clock = VirtualClock()
    executor = SimulatedExecutor(IterationCostModel(profile), clock, max_model_len=8192, block_size=16)
    info = executor.start()
    return [measure(executor, info, shape, clock) for shape in measurable(info, 64, 1024)]


def errors_of(costs: FittedCosts, samples: list[Sample], profile: CostProfile = LLAMA) -> tuple[float, float]:
    """Return how far the fitted stages are off, by the profile that the samples are of."""
    fitted = msgspec.structs.replace(
        profile,
        overhead=costs.overhead,
        linear=costs.linear,
        prefill_attention=costs.prefill_attention,
        decode_attention=costs.decode_attention,
        output_head=costs.output_head,
        embedding=costs.embedding,
    )
    model = IterationCostModel(fitted)
    return relative_errors(
        [seconds for sample in samples for seconds in model.stage_seconds(sample.features)],
        [seconds for sample in samples for seconds in sample.stage_s],
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


@pytest.mark.parametrize("diagonal", [0.8, 20.0])
def test_a_chunk_on_its_own_costs_what_was_measured_however_much_of_it_a_kernel_masks(diagonal: float) -> None:
    attention = msgspec.structs.replace(LLAMA.prefill_attention, diagonal=diagonal)
    device = msgspec.structs.replace(LLAMA, prefill_attention=attention)
    samples = samples_of(device)
    costs = fit(samples, LLAMA.shape.num_layers)
    median, p95 = errors_of(costs, samples)

    assert 0.5 <= costs.prefill_attention.diagonal <= 1.0
    assert median < 0.05
    assert p95 < 0.3


def test_each_stage_of_a_pipeline_is_measured_while_all_of_them_work() -> None:
    model = IterationCostModel(STAGES)
    for sample in samples_of(STAGES)[::8]:
        assert sample.stage_s == pytest.approx(model.stage_seconds(sample.features))


def test_the_costs_of_stages_are_recovered_embedding_and_head_included() -> None:
    samples = samples_of(STAGES)
    costs = fit(samples, STAGES.shape.num_layers)
    median, p95 = errors_of(costs, samples, STAGES)

    assert median < 0.03
    assert p95 < 0.12
    assert costs.output_head.floor_us == pytest.approx(4000.0, rel=0.1)
    assert costs.output_head.us_per_row == pytest.approx(250.0, rel=0.1)


def test_what_sending_takes_is_a_line_through_what_was_measured() -> None:
    sent = [SentStream(num_tokens, 1e-4 + num_tokens * 2e-6) for num_tokens in (1, 16, 64, 512)]

    (least_bytes, least_us), (most_bytes, most_us) = fit_sends(sent, bytes_per_token=100).table

    assert (least_bytes, most_bytes) == (100.0, 51_200.0)
    assert (least_us, most_us) == pytest.approx((102.0, 1124.0))


def test_noise_moves_the_fit_little() -> None:
    rng = Random(1)
    exact = samples_of(LLAMA)
    noisy = [Sample(each.features, (each.seconds * rng.uniform(0.9, 1.1),)) for each in exact]
    median, p95 = errors_of(fit(noisy, LLAMA.shape.num_layers), exact)

    assert median < 0.05
    assert p95 < 0.15


def test_least_squares_keeps_every_factor_at_or_above_zero() -> None:
    rng = np.random.default_rng(2)
    a = rng.uniform(size=(40, 6))
    truth = np.array([3.0, 0.0, 1.0, 0.0, 0.5, 2.0])

    assert non_negative_least_squares(a, a @ truth) == pytest.approx(truth, abs=1e-9)
    assert non_negative_least_squares(a, a @ np.array([1.0, -1.0, 0, 0, 0, 0])).min() >= 0.0
