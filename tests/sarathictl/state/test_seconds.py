"""Windows over whole seconds: what they hold, and what they cost to move on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarathictl.state.seconds import MAX_SECONDS, SecondsWindow
from sarathid.histogram import LatencyHistogram
from sarathid.protocol.stats import FirstToken, IterationStats, TokenGap
from tests.factories import make_iteration

SPANS_S = (3.0, 10.0)


def ended(end_s: float, *tbts_s: float, ttft_s: float | None = None) -> IterationStats:
    gaps = tuple(TokenGap(number, tbt_s) for number, tbt_s in enumerate(tbts_s))
    first_tokens = () if ttft_s is None else (FirstToken(9, ttft_s),)
    return make_iteration(start_s=end_s, execute_s=0.0, gaps=gaps, first_tokens=first_tokens)


def figures(histogram: LatencyHistogram) -> tuple[object, ...]:
    return histogram.count, histogram.max_s, histogram.percentile(0.5), histogram.percentile(0.9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 500), st.booleans()), max_size=40), st.data())
def test_a_window_that_is_looked_at_on_the_way_holds_what_one_that_is_not_holds(
    told: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    watched, unwatched = SecondsWindow(), SecondsWindow()
    now_s = 100.0
    for tenths, tbt_ms, is_watched in told:
        now_s += tenths / 10
        for window in (watched, unwatched):
            window.add(ended(now_s, tbt_ms / 1e3, ttft_s=tbt_ms / 1e2), 0.1)
        if is_watched:
            for span_s in SPANS_S:
                watched.tbt(now_s, span_s)
    now_s += data.draw(st.floats(0.0, 12.0))
    for span_s in SPANS_S:
        assert figures(watched.tbt(now_s, span_s)) == figures(unwatched.tbt(now_s, span_s))
        assert figures(watched.ttft(now_s, span_s)) == figures(unwatched.ttft(now_s, span_s))


def test_a_window_begins_with_a_whole_second_and_ends_now() -> None:
    window = SecondsWindow()
    for second in range(100, 120):
        window.add(ended(second + 0.5, 0.02, 0.02), 0.1)

    assert window.tbt(119.9, 10.0).count == 20
    assert window.tbt(119.9, 1000.0).count == 40
    assert window.output_rate(119.9, 10.0) == pytest.approx(20 / 9.9)
    assert window.tbt(200.0, 10.0).count == 0


def test_goodput_leaves_out_what_came_late() -> None:
    window = SecondsWindow()
    window.add(ended(100.0, 0.15, 0.05, 0.02, ttft_s=9.0), 0.1)

    assert window.output_rate(100.5, 10.0) == pytest.approx(4 / 9.5)
    assert window.goodput(100.5, 10.0) == pytest.approx(3 / 9.5)


def test_gaps_above_the_target_of_their_time_lower_the_attainment() -> None:
    window = SecondsWindow()
    window.add(ended(100.0, 0.15, 0.05), 0.1)
    window.add(ended(101.0, 0.15, 0.05), 0.2)

    assert window.attainment(101.0, 60.0) == 0.75
    assert window.attainment(300.0, 60.0) is None


def test_the_course_of_the_attainment_is_told_by_steps_that_stay() -> None:
    window = SecondsWindow()
    window.add(ended(103.0, 0.15, 0.05), 0.1)
    window.add(ended(107.0, 0.05, 0.05), 0.1)
    window.add(ended(114.5, 0.15), 0.1)

    assert window.attainments(119.9, 6, 3) == (0.75, None, 0.0)
    assert window.attainments(120.0, 6, 3) == (None, 0.0, None)


def test_no_more_than_an_hour_is_kept() -> None:
    window = SecondsWindow()
    for second in range(MAX_SECONDS + 50):
        window.add(ended(1000.0 + second, 0.02), None)

    assert len(list(window.before(1e9))) == MAX_SECONDS
