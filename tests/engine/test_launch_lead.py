import pytest

from sarathid.engine.launch_lead import LaunchLead


def test_a_fifth_of_an_iteration_is_enough_where_launches_are_short_and_predictions_right() -> None:
    lead = LaunchLead()
    lead.observe_launch(0.0005)
    lead.observe_iteration(0.1, 0.101)
    assert lead.seconds(0.1) == pytest.approx(0.02)
    assert lead.seconds(0.0) == pytest.approx(0.002)  # nobody predicts anything yet


def test_it_covers_two_of_the_longest_launches_of_late() -> None:
    lead = LaunchLead()
    for seconds in (0.02, 0.001):
        lead.observe_launch(seconds)
    assert lead.seconds(0.1) == pytest.approx(0.001 + 2 * 0.9 * 0.02)


def test_iterations_that_end_sooner_than_predicted_are_met_by_twice_as_much() -> None:
    lead = LaunchLead()
    lead.observe_iteration(0.1, 0.07)
    assert lead.seconds(0.1) == pytest.approx(0.06)
    for _ in range(10):
        lead.observe_iteration(0.1, 0.1)
    assert lead.seconds(0.1) == pytest.approx(0.1 * 2 * 0.3 * 0.9**10)
    lead.observe_iteration(0.1, 0.01)
    assert lead.seconds(0.1) > 0.1  # at once
