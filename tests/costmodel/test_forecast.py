"""The forecast of a pipeline is what the simulated pipeline does."""

from random import Random

import pytest

from sarathid.costmodel.forecast import PipelineForecast
from sarathid.costmodel.pipeline import Pipeline


def test_one_stage_waits_for_nothing() -> None:
    forecast = PipelineForecast(1)
    assert forecast.latency_s(5.0, 0.25) == 0.25
    assert forecast.launch(5.0, 0.25) == pytest.approx(0.25)


@pytest.mark.parametrize("num_stages", [2, 3, 4])
def test_batches_wait_for_those_before_them(num_stages: int) -> None:
    random, forecast, pipeline = Random(num_stages), PipelineForecast(num_stages), Pipeline(num_stages)
    now_s = 1.0
    for _ in range(50):
        work_s = random.uniform(0.01, 0.2)
        finished_s = pipeline.run(now_s, (work_s / num_stages,) * num_stages)[-1].end_s
        assert forecast.latency_s(now_s, work_s) == pytest.approx(finished_s - now_s)
        assert forecast.launch(now_s, work_s) == pytest.approx(finished_s - now_s)
        now_s += random.uniform(0.0, work_s)


def test_a_late_batch_makes_those_behind_it_late() -> None:
    forecast = PipelineForecast(2)
    forecast.launch(0.0, 0.2)
    before_s = forecast.latency_s(0.0, 0.2)
    forecast.collect(late_s=0.05)
    assert forecast.latency_s(0.0, 0.2) == pytest.approx(before_s + 0.05)


@pytest.mark.parametrize("num_stages", [1, 2, 3, 4])
def test_the_most_work_for_a_time_is_done_by_then(num_stages: int) -> None:
    random, forecast = Random(num_stages), PipelineForecast(num_stages)
    now_s = 1.0
    for _ in range(50):
        latency_s = random.uniform(0.2, 0.5) * num_stages
        assert forecast.latency_s(now_s, forecast.most_work_s(now_s, latency_s)) <= latency_s + 1e-9
        forecast.launch(now_s, random.uniform(0.01, 0.2))
        now_s += random.uniform(0.1, 0.3)


def test_batches_that_get_the_most_work_come_to_be_even() -> None:
    forecast, now_s = PipelineForecast(2), 0.0
    forecast.launch(now_s, 1.0)
    launched, done_s = [0.1], [1.0, 1.0 + forecast.launch(now_s, 0.1)]
    for _ in range(20):
        now_s = done_s[-2]
        launched.append(forecast.most_work_s(now_s, 1.0))
        done_s.append(now_s + forecast.launch(now_s, launched[-1]))
    assert launched[-4:] == pytest.approx([1.0] * 4, rel=0.05)
