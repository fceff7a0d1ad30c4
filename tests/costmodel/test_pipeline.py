"""Stages work one batch at a time and wait for each other; only that waiting is a bubble."""

import pytest

from sarathid.costmodel.pipeline import Pipeline


def test_one_stage_never_waits() -> None:
    pipeline = Pipeline(1)

    assert [pipeline.run(now_s, (0.5,)) for now_s in (1.0, 1.5, 9.0)] == [1.5, 2.0, 9.5]
    assert (pipeline.busy_s, pipeline.bubble_s) == (1.5, 0.0)


def test_a_batch_waits_for_its_stage() -> None:
    pipeline = Pipeline(2)

    assert pipeline.run(0.0, (1.0, 1.0)) == 2.0
    assert pipeline.run(0.0, (1.0, 1.0)) == 3.0
    assert pipeline.bubble_s == 1.0  # the second stage, until the first batch reached it


def test_an_uneven_batch_leaves_a_bubble() -> None:
    pipeline = Pipeline(2)
    pipeline.run(0.0, (1.0, 1.0))
    pipeline.run(0.0, (5.0, 5.0))

    assert pipeline.bubble_s == pytest.approx(1.0 + 4.0)  # a long batch behind a short one


def test_a_pause_without_work_is_no_bubble() -> None:
    pipeline = Pipeline(2)
    pipeline.run(0.0, (1.0, 1.0))
    pipeline.run(100.0, (1.0, 1.0))

    assert pipeline.bubble_s == 2.0
    assert pipeline.bubble_share == pytest.approx(1 / 3)
