"""What a budget that follows the target holds, against the paper's budgets and against the best fixed ones."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from sarathid.evaluation.figure import Figure, Scope
from sarathid.evaluation.jobs import CapacityJob, Job, Results, Served, SimulationJob
from sarathid.evaluation.row import FigureResult, Row
from sarathid.evaluation.setups import RELAXED, SETUPS, STALL_FREE, STRICT, Setup
from sarathid.protocol.slo import BudgetChoice
from sarathid.simulator.capacities import FoundCapacity

_NAME = "adaptive"
_ADAPTIVE = "adaptive"
_PAPER_STATIC = "paper-static"
_BEST_STATIC = "best-static"
_NOISE_FREE = ", noise-free"
_BOUND, _MEDIAN_TTFT = "x, the bound", "x, median TTFT"
_WORKLOADS = ("sharegpt4", "arxiv")
_STATIC_BUDGETS = {STRICT: (384, 512, 640, 768, 1024), RELAXED: (768, 1024, 1536, 2048, 3072)}
_MOST_REQUESTS = 512
_DISTURBANCE_SEED = 20_241_112
_WORKLOAD_SEED = 7


@dataclass(frozen=True, slots=True)
class Cell:
    """A set-up under a workload and an objective, on devices that differ from their profile, or do not."""

    setup: Setup
    workload: str
    slo: str
    is_disturbed: bool = True

    @property
    def target_s(self) -> float:
        return self.setup.target_s(self.slo)

    @property
    def paper_budget(self) -> int:
        return self.setup.budget(self.slo)

    def job(self, budget: BudgetChoice, scope: Scope) -> CapacityJob:
        return CapacityJob(self._served(budget, scope), (self.target_s,))

    def ttft_job(self, budget: BudgetChoice, rate_per_s: float, scope: Scope) -> SimulationJob:
        """Return a run whose time to first token is looked at, under the cell's target."""
        return SimulationJob(self._served(budget, scope), rate_per_s, self.target_s)

    def found(self, budget: BudgetChoice, scope: Scope, results: Results) -> FoundCapacity:
        return results.capacity(self.job(budget, scope), self.target_s)

    def best_budget(self, scope: Scope, results: Results) -> int:
        """Return the fixed budget that holds most, the smallest of equals."""
        return max(_STATIC_BUDGETS[self.slo], key=lambda budget: self.found(budget, scope, results).rate_per_s or 0.0)

    def _served(self, budget: BudgetChoice, scope: Scope) -> Served:
        num_requests = min(scope.num_requests, _MOST_REQUESTS)
        served = Served.by(self.setup, STALL_FREE, budget, self.workload, num_requests)
        return replace(served, seed=_WORKLOAD_SEED, disturbance_seed=_DISTURBANCE_SEED if self.is_disturbed else None)


_CELLS = tuple(Cell(setup, workload, slo) for setup in SETUPS for workload in _WORKLOADS for slo in (STRICT, RELAXED))


def _jobs(scope: Scope) -> tuple[Job, ...]:
    disturbed = (cell.job(budget, scope) for cell in _CELLS for budget in ("auto", *_STATIC_BUDGETS[cell.slo]))
    calm = (replace(cell, is_disturbed=False) for cell in _CELLS)
    return (*disturbed, *(cell.job(budget, scope) for cell in calm for budget in ("auto", cell.paper_budget)))


def _ttft_jobs(scope: Scope, results: Results) -> tuple[Job, ...]:
    """Return runs of both at the rate that the paper's budget just holds."""
    return tuple(
        cell.ttft_job(budget, rate_per_s, scope)
        for cell in _CELLS
        if (rate_per_s := cell.found(cell.paper_budget, scope, results).rate_per_s)
        for budget in ("auto", cell.paper_budget)
    )


def _result(scope: Scope, results: Results) -> FigureResult:
    rows = [row for cell in _CELLS for row in _rows(cell, scope, results)]
    return FigureResult(
        name=_NAME,
        title="A budget that follows the target, against fixed ones",
        notes=(
            f"Fixed budgets searched: {_STATIC_BUDGETS[STRICT]} strict, {_STATIC_BUDGETS[RELAXED]} relaxed. The "
            "devices are off their profile by up to 20 % by regime, with 5 % of lognormal noise and an iteration three "
            "times as long every 500; the predictor starts from the unbiased profile. Median TTFT is compared at the "
            "rate that the paper's budget just holds. "
            f"Geometric means: capacity {_mean(rows, _PAPER_STATIC, 'x')} the paper's budgets and "
            f"{_mean(rows, _BEST_STATIC, 'x')} the best, which are {_mean(rows, _PAPER_STATIC, _BOUND)} the paper's; "
            f"median TTFT {_mean(rows, _PAPER_STATIC, _MEDIAN_TTFT)} that of the paper's budgets."
        ),
        rows=tuple(rows),
    )


def _mean(rows: list[Row], baseline: str, unit: str) -> str:
    """Return the geometric mean of the rows of that baseline and unit, as it is told."""
    ratios = [row.ours for row in rows if row.baseline == baseline and row.unit == unit and row.ours is not None]
    return f"{prod(ratios) ** (1.0 / len(ratios)):.3f}x" if ratios else "- x"


def _rows(cell: Cell, scope: Scope, results: Results) -> Iterator[Row]:
    best = cell.best_budget(scope, results)
    ours = cell.found("auto", scope, results)
    paper, bound = (cell.found(budget, scope, results) for budget in (cell.paper_budget, best))
    calm = replace(cell, is_disturbed=False)
    calm_ours, calm_paper = (calm.found(budget, scope, results) for budget in ("auto", cell.paper_budget))
    yield _row(cell, _ADAPTIVE, ours, _PAPER_STATIC, _ratio(ours, paper), "x")
    yield _row(cell, _ADAPTIVE, ours, _BEST_STATIC, _ratio(ours, bound), "x")
    yield _row(cell, _BEST_STATIC, bound, _PAPER_STATIC, _ratio(bound, paper), _BOUND)
    yield _row(cell, _ADAPTIVE + _NOISE_FREE, calm_ours, _PAPER_STATIC, _ratio(calm_ours, calm_paper), "x, noise-free")
    yield _row(cell, _ADAPTIVE, ours, None, ours.rate_per_s, "requests/s")
    yield _row(cell, _BEST_STATIC, bound, None, float(best), "tokens")
    yield _row(cell, _ADAPTIVE, ours, None, _tbt_p99_s(ours), "s, P99 TBT")
    yield _row(cell, _ADAPTIVE, ours, _PAPER_STATIC, _ttft_ratio(cell, paper.rate_per_s, scope, results), _MEDIAN_TTFT)


def _row(cell: Cell, system: str, found: FoundCapacity, baseline: str | None, value: float | None, unit: str) -> Row:
    return Row(
        figure=_NAME,
        model=cell.setup.model,
        workload=cell.workload,
        slo=cell.slo,
        system=system,
        baseline=baseline,
        ours=value,
        paper=None,
        unit=unit,
        num_requests=found.num_requests,
    )


def _tbt_p99_s(found: FoundCapacity) -> float | None:
    return None if found.at_capacity is None else found.at_capacity.tbt_p99_s


def _ratio(ours: FoundCapacity, theirs: FoundCapacity) -> float | None:
    return ours.rate_per_s / theirs.rate_per_s if ours.rate_per_s and theirs.rate_per_s else None


def _ttft_ratio(cell: Cell, rate_per_s: float | None, scope: Scope, results: Results) -> float | None:
    if rate_per_s is None:
        return None
    ours_s, theirs_s = (
        results.report(cell.ttft_job(budget, rate_per_s, scope)).ttft_s.p50 for budget in ("auto", cell.paper_budget)
    )
    return ours_s / theirs_s if ours_s and theirs_s else None


ADAPTIVE_FIGURES = (Figure(_NAME, _jobs, _result, _ttft_jobs),)
