"""An adaptive budget is held to the paper's, to the best fixed one, and to first tokens at the same load."""

import msgspec
import pytest

from sarathid.costmodel.library import find_profile
from sarathid.evaluation.catalog import FIGURES, choose
from sarathid.evaluation.figure import QUICK
from sarathid.evaluation.jobs import CapacityJob, Job, Results, SimulationJob, merge
from sarathid.evaluation.row import FigureResult, Row
from sarathid.evaluation.setups import SETUPS, YI
from sarathid.simulator.capacities import CapacityAnswer, FoundCapacity
from sarathid.simulator.report import Latency, SimulationReport
from sarathid.simulator.serving import Serving
from sarathid.simulator.simulator import simulate
from sarathid.workload import PlannedRequest

FIGURE = next(figure for figure in FIGURES if figure.name == "adaptive")
RATES = {"auto": 1.2, 640: 1.25, 1024: 1.25}
FIRST_SEED = 7


def answer(job: Job) -> bytes:
    """Return what a child would print: rates by budget, and first tokens twice as fast with `auto`."""
    if isinstance(job, SimulationJob):
        report = simulate(find_profile(YI.profile), Serving(), [PlannedRequest(0.0, 16, 2)])
        seconds = 1.0 if job.served.budget == "auto" else 2.0
        ttft_s = Latency(p50=seconds, p90=seconds, p99=seconds, max=seconds)
        return msgspec.json.encode(msgspec.structs.replace(report, ttft_s=ttft_s))
    is_first_draw = job.served.seed == FIRST_SEED
    rate_per_s = RATES.get(job.served.budget, 1.0) if is_first_draw or job.served.budget == "auto" else 1.0
    found = tuple(
        FoundCapacity(
            slo_tbt_s=target_s, scheduling_delay_s=2.0, rate_per_s=rate_per_s, lowest_failing_per_s=9.0, trials=()
        )
        for target_s in job.targets_s
    )
    served = job.served
    return msgspec.json.encode(
        CapacityAnswer(
            profile=served.profile,
            policy=served.policy,
            token_budget=served.budget,
            workload=served.workload,
            num_requests=served.num_requests,
            capacities=found,
        )
    )


@pytest.fixture(scope="module")
def result() -> FigureResult:
    searches = merge(FIGURE.jobs(QUICK))
    results = Results({job: answer(job) for job in searches})
    runs = merge(FIGURE.more_jobs(QUICK, results))
    return FIGURE.result(QUICK, Results({**results.outputs, **{job: answer(job) for job in runs}}))


@pytest.fixture
def rows(result: FigureResult) -> tuple[Row, ...]:
    return result.rows


def gains(rows: tuple[Row, ...], baseline: str, unit: str) -> set[float | None]:
    return {row.ours for row in rows if row.baseline == baseline and row.unit == unit}


def test_every_set_up_workload_and_target_is_there(rows: tuple[Row, ...]) -> None:
    cells = {(row.model, row.workload, row.slo) for row in rows}
    assert len(cells) == len(SETUPS) * 2 * 2


def test_capacity_is_held_to_the_papers_budget_and_to_the_best(rows: tuple[Row, ...]) -> None:
    assert gains(rows, "paper-static", "x") == {1.2}
    assert gains(rows, "best-static", "x") == {1.2 / 1.25}
    assert gains(rows, "paper-static", "x, the bound") == {1.25}


def test_draws_that_chose_no_budget_are_compared_too(result: FigureResult, rows: tuple[Row, ...]) -> None:
    """In the draw that the best was chosen by it holds 1.25, in the others no more than the paper's."""
    for baseline in ("paper-static", "best-static"):
        assert list(gains(rows, baseline, "x, other draws")) == [pytest.approx(1.2)]
    assert "in the other draws 1.200x the paper's and 1.200x the best" in result.notes


def test_first_tokens_are_compared_at_the_same_load(rows: tuple[Row, ...]) -> None:
    assert gains(rows, "paper-static", "x, median TTFT") == {0.5}


def test_the_means_over_all_cells_are_told(result: FigureResult) -> None:
    assert "capacity 1.200x the paper's budgets and 0.960x the best, which are 1.250x the paper's" in result.notes
    assert "median TTFT 0.500x" in result.notes


def test_nothing_runs_on_the_seeds_that_it_was_tuned_on() -> None:
    jobs = [job for job in FIGURE.jobs(QUICK) if isinstance(job, CapacityJob)]
    assert 42 not in {job.served.seed for job in jobs}
    assert {job.served.disturbance_seed for job in jobs}.isdisjoint({1, 2, 3, 4})


def test_it_runs_when_it_is_asked_for_alone() -> None:
    assert FIGURE not in choose([], is_quick=False)
    assert choose(["adaptive"], is_quick=False) == (FIGURE,)


def test_a_run_is_read_back() -> None:
    report = msgspec.json.decode(answer(SimulationJob(FIGURE.jobs(QUICK)[0].served, 1.0)), type=SimulationReport)
    assert report.ttft_s.p50 == 1.0
