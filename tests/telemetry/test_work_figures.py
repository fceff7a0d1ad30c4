"""What of the token budgets ran lately, and how long stages idled."""

import msgspec
import pytest

from sarathid.protocol.control import WorkFigures
from sarathid.protocol.stats import ChunkStats, IterationStats, StageTime
from sarathid.telemetry.work_figures import MAX_ITERATIONS, work_figures
from tests.factories import make_iteration


def worked(
    num_tokens: int, *, budget: int = 100, start_s: float = 0.0, stages: tuple[float, ...] = ()
) -> IterationStats:
    """Return an iteration of so many tokens whose stages idled for so long each second."""
    stats = make_iteration(start_s=start_s, chunks=(ChunkStats(1, 0, num_tokens - 1, 1000),))
    times = tuple(StageTime(start_s, 1.0 - bubble_s, bubble_s) for bubble_s in stages)
    return msgspec.structs.replace(stats, token_budget=budget, stages=times)


def test_the_fill_is_what_ran_of_all_budgets() -> None:
    assert work_figures([worked(100), worked(20)], 1.0) == WorkFigures(num_iterations=2, fill=0.6, bubble=None)


def test_a_policy_that_takes_prompts_whole_fills_nothing() -> None:
    assert work_figures([worked(100), worked(300)], 1.0).fill is None


def test_the_bubble_is_that_of_the_stage_that_idled_most() -> None:
    found = work_figures([worked(10, stages=(0.1, 0.4)), worked(10, stages=(0.1, 0.2))], 1.0)
    assert found.bubble == pytest.approx(0.3)


def test_what_is_over_for_a_minute_counts_no_more() -> None:
    assert work_figures([worked(50, start_s=100.0), worked(90)], 110.0).fill == 0.5
    assert work_figures([worked(50)], 100.0) == WorkFigures(num_iterations=0, fill=None, bubble=None)
    assert work_figures([worked(50)] * 1000, 1.0).num_iterations == MAX_ITERATIONS
