import pytest

from sarathid.telemetry.pauses import MAX_PAUSES, Pauses
from sarathid.telemetry.span import Span


def test_a_pause_counts_where_it_overlaps() -> None:
    pauses = Pauses()
    for pause in (Span(1.0, 2.0), Span(5.0, 6.0)):
        pauses.add(pause)
    assert pauses.seconds_within(Span(0.0, 10.0)) == 2.0
    assert pauses.seconds_within(Span(1.5, 5.5)) == 1.0
    assert pauses.seconds_within(Span(2.0, 5.0)) == 0.0


def test_a_pause_that_lasts_has_lasted_for_all_of_a_span_so_far() -> None:
    pauses = Pauses()
    pauses.begin(3.0)
    assert pauses.seconds_within(Span(2.0, 9.0)) == 6.0
    pauses.end(4.0)
    pauses.end(8.0)
    assert pauses.seconds_within(Span(2.0, 9.0)) == 1.0


def test_the_oldest_are_forgotten() -> None:
    pauses = Pauses()
    for second in range(MAX_PAUSES + 3):
        pauses.add(Span(second, second + 0.5))
    assert pauses.seconds_within(Span(0.0, 1e9)) == pytest.approx(MAX_PAUSES / 2)
