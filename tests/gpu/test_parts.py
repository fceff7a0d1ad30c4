"""Parts of a check fail alone, have their time, and tell each row as it comes."""

import time
from collections.abc import Iterator

import pytest

from sarathid.clock import MonotonicClock, VirtualClock
from tests.gpu.parts import NotAvailable, Part, run_parts
from tests.gpu.report import Row, Verdict

FOUND = Row("found", Verdict.PASSED, "")
AFTER = Part("after", 60.0, lambda _: [FOUND])


def endless(limit_s: float) -> Iterator[Row]:
    yield FOUND
    while True:
        time.sleep(60.0)  # which the limit ends


def failing(error: Exception) -> Part:
    def rows(limit_s: float) -> Iterator[Row]:
        yield FOUND
        raise error

    return Part("this", 60.0, rows)


@pytest.mark.parametrize(
    ("error", "verdict", "words"),
    [
        (
            RuntimeError("CUDA error: an illegal access\nCompile with"),
            Verdict.FAILED,
            "RuntimeError: CUDA error: an illegal access",
        ),
        (ModuleNotFoundError("No module named 'x'"), Verdict.NOT_AVAILABLE, "No module named 'x'"),
        (NotAvailable("it has none"), Verdict.NOT_AVAILABLE, "it has none"),
    ],
)
def test_what_a_part_raises_is_a_row_and_the_rest_goes_on(error: Exception, verdict: Verdict, words: str) -> None:
    outcome = run_parts([failing(error), AFTER], 60.0, MonotonicClock(), lambda _: None)
    assert outcome.rows == [FOUND, Row("this", verdict, words), FOUND]


def test_a_part_that_takes_too_long_is_cut() -> None:
    told: list[Row] = []
    outcome = run_parts([Part("this", 0.2, endless), AFTER], 60.0, MonotonicClock(), told.append)
    assert outcome.rows == told == [FOUND, Row("this", Verdict.NOT_AVAILABLE, "cut after 0.2 s"), FOUND]


def test_no_part_begins_when_the_whole_time_is_over() -> None:
    clock = VirtualClock()

    def slow(limit_s: float) -> Iterator[Row]:
        clock.advance(limit_s)
        yield FOUND

    outcome = run_parts([Part("slow", 60.0, slow), AFTER], 61.0, clock, lambda _: None)
    assert outcome.rows == [FOUND, Row("after", Verdict.NOT_AVAILABLE, "the 61 s of the whole check were over")]


def test_what_a_lost_device_can_not_run_is_left_for_another_process() -> None:
    clock = VirtualClock()
    outcome = run_parts([failing(RuntimeError("lost")), AFTER], 60.0, clock, lambda _: None, lambda: False)
    assert (len(outcome.rows), outcome.num_run, outcome.left_s) == (2, 1, 60.0)
