"""Workloads are what they say, and the same seed gives the same one."""

import itertools
import random
import statistics

import pytest

from sarathid.workload import (
    ConstantLength,
    PeriodicArrivals,
    PlannedRequest,
    PoissonArrivals,
    UniformLength,
    Workload,
    random_token_ids,
)


def test_periodic_arrivals_keep_their_period_and_stop_at_the_end() -> None:
    workload = Workload(PeriodicArrivals(period_s=10.0, first_s=1.0), ConstantLength(2000), ConstantLength(8))

    assert list(workload.requests(31.0, random.Random(0))) == [
        PlannedRequest(1.0, 2000, 8),
        PlannedRequest(11.0, 2000, 8),
        PlannedRequest(21.0, 2000, 8),
    ]


def test_poisson_arrivals_have_exponential_gaps_of_the_stated_mean() -> None:
    times_s = list(itertools.islice(PoissonArrivals(rate_per_s=4.0).times_s(random.Random(1)), 20_000))
    gaps_s = [after - before for before, after in itertools.pairwise(times_s)]

    assert statistics.fmean(gaps_s) == pytest.approx(0.25, rel=0.03)
    assert statistics.stdev(gaps_s) == pytest.approx(0.25, rel=0.03)


def test_uniform_lengths_reach_both_ends() -> None:
    rng = random.Random(2)

    assert {UniformLength(3, 6).draw(rng) for _ in range(200)} == {3, 4, 5, 6}


def test_the_same_seed_gives_the_same_workload() -> None:
    workload = Workload(PoissonArrivals(2.0), UniformLength(1, 100), UniformLength(1, 50))

    first, second, other = (list(workload.requests(60.0, random.Random(seed))) for seed in (3, 3, 4))

    assert first == second != other


def test_random_prompts_stay_within_the_vocabulary() -> None:
    token_ids = random_token_ids(1000, 7, random.Random(5))

    assert len(token_ids) == 1000
    assert set(token_ids) == set(range(7))
