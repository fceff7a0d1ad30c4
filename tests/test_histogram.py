import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarathid.histogram import RELATIVE_ERROR, LatencyHistogram, LatencyWindow

SECONDS = st.floats(min_value=1e-5, max_value=1e4)


def exact_percentile(values: list[float], q: float) -> float:
    return sorted(values)[max(1, math.ceil(q * len(values))) - 1]


@given(st.lists(SECONDS, min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_percentile_is_within_the_relative_error_of_a_sample(values: list[float], q: float) -> None:
    histogram = LatencyHistogram()
    for value in values:
        histogram.record(value)
    found = histogram.percentile(q)
    assert found is not None
    assert math.isclose(found, exact_percentile(values, q), rel_tol=1.01 * RELATIVE_ERROR)
    assert histogram.max_s == max(values)


@given(st.lists(SECONDS), st.lists(SECONDS))
def test_merging_equals_recording_all(left: list[float], right: list[float]) -> None:
    one, other, both = LatencyHistogram(), LatencyHistogram(), LatencyHistogram()
    for value in left:
        one.record(value)
        both.record(value)
    for value in right:
        other.record(value)
        both.record(value)
    one.merge(other)
    assert (one.count, one.max_s) == (both.count, both.max_s)
    assert [one.percentile(q / 10) for q in range(11)] == [both.percentile(q / 10) for q in range(11)]


@given(st.lists(st.sampled_from([0.01, 0.02, 0.5])))
def test_samples_recorded_together_are_those_recorded_alone(values: list[float]) -> None:
    together, alone = LatencyHistogram(), LatencyHistogram()
    together.record_each(values)
    for value in values:
        alone.record(value)
    assert list(together.buckets()) == list(alone.buckets())
    assert (together.count, together.max_s) == (alone.count, alone.max_s)
    assert together.sum_s == pytest.approx(alone.sum_s)


def test_an_empty_histogram_has_no_percentile() -> None:
    assert LatencyHistogram().percentile(0.5) is None


def test_counts_what_is_at_most_a_bound() -> None:
    histogram = LatencyHistogram()
    for value in (0.01, 0.02, 0.3):
        histogram.record(value)
    assert [histogram.num_at_most(bound) for bound in (0.005, 0.025, 1.0)] == [0, 2, 3]


def test_a_window_forgets_what_is_older_than_it() -> None:
    window = LatencyWindow(10.0)
    window.add(0.0, 5.0)
    window.add(8.0, 0.1)
    assert window.max_s(now_s=9.0) == 5.0
    assert window.max_s(now_s=12.0) == 0.1
    assert window.count(now_s=40.0) == 0


def test_the_buckets_hold_every_sample_under_their_upper_edges() -> None:
    histogram = LatencyHistogram()
    for seconds in (0.01, 0.01, 0.2):
        histogram.record(seconds)
    (short_s, num_short), (long_s, num_long) = histogram.buckets()
    assert (num_short, num_long) == (2, 1)
    assert short_s == pytest.approx(0.01, rel=0.02)
    assert long_s == pytest.approx(0.2, rel=0.02)
    assert 0.01 <= short_s < 0.2 <= long_s
