import pytest

from sarathictl.bench.measurement import nearest_rank
from sarathictl.bench.trace import LoadTrace, RequestTrace, Role
from sarathictl.bench.trial import is_hopeless, judge
from sarathid.capacity import Objective, meets
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import RequestStats
from sarathid.workload import PlannedRequest

OBJECTIVE = Objective(tbt_s=0.1)
PLANNED = (PlannedRequest(0.0, 10, 51), PlannedRequest(1.0, 10, 51))


def trace(index: int, gap_s: float, num_tokens: int = 51, *, is_finished: bool = True) -> RequestTrace:
    times_s = [1.0 + number * gap_s for number in range(num_tokens)]
    return RequestTrace(Role.REQUEST, index, 10, 0.5, times_s, is_finished)


def record(delay_s: float) -> RequestStats:
    return RequestStats(
        request_id=1,
        client="",
        arrival_s=5.0,
        scheduled_s=5.0 + delay_s,
        first_token_s=6.0 + delay_s,
        finished_s=9.0,
        finish_reason=FinishReason.LENGTH,
        num_prompt_tokens=10,
        num_output_tokens=51,
        num_preemptions=0,
        num_recomputed_tokens=0,
        num_stalls=0,
        tbt_p50_s=None,
        tbt_max_s=None,
    )


@pytest.mark.parametrize(
    ("ranked", "quantile", "count", "found"),
    [
        ([], 0.5, None, None),
        ([1.0, 2.0, 3.0, 4.0], 0.5, None, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 0.99, None, 4.0),
        ([3.0, 4.0], 0.99, 100, 3.0),
        ([3.0, 4.0], 0.98, 100, 0.0),
        ([4.0], 0.5, 100, 0.0),
    ],
)
def test_nearest_rank_counts_what_is_missing_as_lower(
    ranked: list[float], quantile: float, count: int | None, found: float | None
) -> None:
    assert nearest_rank(ranked, quantile, count) == found


def test_a_run_within_the_objective_holds() -> None:
    load = LoadTrace(0.0, 10.0, (trace(0, 0.05), trace(1, 0.08)))
    trial = judge(1.0, PLANNED, load, [record(0.1), record(0.3)])
    assert meets(trial, OBJECTIVE)
    assert (trial.is_complete, trial.num_finished, trial.num_failed) == (True, 2, 0)
    assert trial.tbt_p99_s == pytest.approx(0.08)
    assert trial.ttft_p50_s == pytest.approx(0.5)
    assert trial.scheduling_delay_p50_s == pytest.approx(0.1)
    assert trial.output_tokens_per_s == pytest.approx(10.2)


def test_a_request_that_did_not_finish_fails_the_run() -> None:
    failed = trace(1, 0.05, 10, is_finished=False)
    failed.failure = "not finished when the run ended"
    trial = judge(1.0, PLANNED, LoadTrace(0.0, 10.0, (trace(0, 0.05), failed)), [])
    assert trial.is_complete
    assert not meets(trial, OBJECTIVE)


def test_a_run_is_hopeless_only_when_the_rest_could_not_save_it() -> None:
    assert not is_hopeless(OBJECTIVE, PLANNED, [trace(0, 0.2, 2)], [])
    assert is_hopeless(OBJECTIVE, PLANNED, [trace(0, 0.2, 3)], [])
    assert not is_hopeless(OBJECTIVE, PLANNED, [], [record(9.0)])
    assert is_hopeless(OBJECTIVE, PLANNED, [], [record(9.0), record(9.0)])


def test_a_run_stopped_early_fails_by_what_it_saw() -> None:
    trial = judge(1.0, PLANNED, LoadTrace(0.0, 3.0, (trace(0, 0.2, 5, is_finished=False),)), [])
    assert not trial.is_complete
    assert trial.tbt_p99_s == pytest.approx(0.2)
    assert not meets(trial, OBJECTIVE)
