"""The share of the target that is planned for settles where as many tokens are late as a P99 allows."""

from random import Random

import pytest

from sarathid.slo.headroom import Headroom


def test_it_settles_where_under_one_in_a_hundred_is_late() -> None:
    headroom, random = Headroom(), Random(5)
    num_late = num_seen = 0
    for iteration in range(20_000):
        is_late = headroom.share * random.lognormvariate(0.0, 0.05) > 1.0
        headroom.observe(32, 32 if is_late else 0)
        if iteration >= 2_000:
            num_seen, num_late = num_seen + 1, num_late + is_late
    assert num_late / num_seen == pytest.approx(0.008, abs=0.001)
    assert headroom.share == pytest.approx(0.88, abs=0.04)


def test_it_plans_for_the_whole_target_where_nothing_is_late_and_never_for_more() -> None:
    headroom = Headroom()
    for _ in range(2_000):
        headroom.observe(8, 0)
    assert headroom.share == 1.0


def test_it_keeps_a_part_of_the_target_whatever_happens() -> None:
    headroom = Headroom()
    for _ in range(2_000):
        headroom.observe(8, 8)
    assert headroom.share == 0.6


def test_iterations_without_tokens_say_nothing() -> None:
    headroom = Headroom()
    before = headroom.share
    headroom.observe(0, 0)
    assert headroom.share == before
