"""Workloads are what they say, and the same seed gives the same one."""

import itertools
import random
import statistics

import pytest

from sarathid.workload import (
    ConstantLength,
    GammaArrivals,
    PeriodicArrivals,
    PlannedRequest,
    PoissonArrivals,
    QuantileLength,
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


def test_gamma_arrivals_have_the_stated_rate_and_burstiness() -> None:
    times_s = list(itertools.islice(GammaArrivals(rate_per_s=2.0, burstiness=3.0).times_s(random.Random(6)), 50_000))
    gaps_s = [after - before for before, after in itertools.pairwise(times_s)]

    assert statistics.fmean(gaps_s) == pytest.approx(0.5, rel=0.05)
    assert statistics.stdev(gaps_s) == pytest.approx(1.5, rel=0.05)


def test_quantile_lengths_follow_their_knots() -> None:
    length = QuantileLength(((0.0, 10), (0.5, 20), (1.0, 100)))
    rng = random.Random(9)
    drawn = sorted(length.draw(rng) for _ in range(40_000))

    assert (drawn[0], drawn[-1]) == (10, 100)
    assert (drawn[10_000], drawn[20_000], drawn[30_000]) == pytest.approx((15, 20, 60), abs=1)


def test_lengths_that_are_too_long_together_are_drawn_again() -> None:
    workload = Workload(PoissonArrivals(1.0), UniformLength(1, 100), UniformLength(1, 100), max_total_tokens=60)
    requests = workload.first(300, random.Random(7))

    assert len(requests) == 300
    assert max(request.num_tokens for request in requests) <= 60


def test_another_rate_moves_the_same_requests() -> None:
    slow, fast = (
        Workload(PoissonArrivals(rate), UniformLength(1, 100), UniformLength(1, 50)).first(50, random.Random(8))
        for rate in (1.0, 4.0)
    )

    assert [request.num_tokens for request in slow] == [request.num_tokens for request in fast]
    assert [request.arrival_s for request in slow] == pytest.approx([4.0 * request.arrival_s for request in fast])
