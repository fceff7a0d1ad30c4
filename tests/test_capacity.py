"""Bisection finds the edge that a trial has, shares trials between objectives, and believes no incomplete pass."""

from dataclasses import dataclass

import pytest

from sarathid.capacity import RESOLUTION, CapacitySearch, Objective, meets


@dataclass(frozen=True)
class FakeTrial:
    tbt_p99_s: float | None
    scheduling_delay_p50_s: float | None = 0.1
    is_complete: bool = True
    num_failed: int = 0


class FakeSystem:
    """Its P99 TBT is its rate in seconds; it notes what it was asked, and stops early where it is told to."""

    def __init__(self, stops_early: bool = False) -> None:
        self.rates: list[float] = []
        self._stops_early = stops_early

    def __call__(self, rate_per_s: float, objective: Objective) -> FakeTrial:
        self.rates.append(rate_per_s)
        if self._stops_early and rate_per_s > objective.tbt_s:
            return FakeTrial(tbt_p99_s=objective.tbt_s * 1.001, is_complete=False)
        return FakeTrial(tbt_p99_s=rate_per_s)


@pytest.mark.parametrize("edge", [0.03, 0.7, 1.0, 2.6, 90.0])
@pytest.mark.parametrize("first", [0.01, 1.0, 50.0])
def test_the_edge_is_found_to_the_resolution(edge: float, first: float) -> None:
    found = CapacitySearch(FakeSystem(), first_rate_per_s=first).find(Objective(edge))

    assert found.rate_per_s is not None
    assert found.lowest_failing_per_s is not None
    assert found.rate_per_s <= edge < found.lowest_failing_per_s
    assert found.lowest_failing_per_s / found.rate_per_s == pytest.approx(1.0 + RESOLUTION)


def test_objectives_share_their_trials() -> None:
    system = FakeSystem()
    search = CapacitySearch(system, first_rate_per_s=1.0)
    first, again = search.find(Objective(2.0)), search.find(Objective(2.0))

    assert first == again
    assert len(system.rates) == len(set(system.rates)) == len(first.trials)


def test_a_trial_that_was_stopped_for_a_strict_objective_is_run_again_for_a_looser_one() -> None:
    search = CapacitySearch(FakeSystem(stops_early=True), first_rate_per_s=1.0)
    strict, loose = search.find(Objective(0.5)), search.find(Objective(2.0))

    assert strict.rate_per_s == pytest.approx(0.5, rel=RESOLUTION)
    assert loose.rate_per_s == pytest.approx(2.0, rel=RESOLUTION)


def test_no_rate_is_claimed_where_even_the_lowest_fails() -> None:
    found = CapacitySearch(FakeSystem(), first_rate_per_s=1.0, min_rate_per_s=0.1).find(Objective(0.05))

    assert found.rate_per_s is None
    assert found.lowest_failing_per_s == pytest.approx(0.1, rel=RESOLUTION)


def test_no_failing_rate_is_claimed_where_even_the_highest_holds() -> None:
    found = CapacitySearch(FakeSystem(), first_rate_per_s=1.0, max_rate_per_s=4.0).find(Objective(9.0))

    assert found.rate_per_s == pytest.approx(4.0, rel=RESOLUTION)
    assert found.lowest_failing_per_s is None


@pytest.mark.parametrize(
    ("trial", "holds"),
    [
        (FakeTrial(0.2), True),
        (FakeTrial(0.201), False),
        (FakeTrial(0.1, scheduling_delay_p50_s=2.1), False),
        (FakeTrial(0.1, num_failed=1), False),
        (FakeTrial(None, None), True),
    ],
)
def test_an_objective_is_tbt_delay_and_no_failure(trial: FakeTrial, holds: bool) -> None:
    assert meets(trial, Objective(0.2)) is holds
