"""What the artifact's limit of 128 sequences costs the stall-free system at the relaxed target."""

from collections.abc import Iterator
from dataclasses import replace

from sarathid.costmodel.library import find_profile
from sarathid.evaluation.figure import Figure, Scope
from sarathid.evaluation.jobs import CapacityJob, Job, Results, Served
from sarathid.evaluation.row import FigureResult, Row
from sarathid.evaluation.setups import RELAXED, SETUPS, STALL_FREE, Setup
from sarathid.simulator.capacities import FoundCapacity

_NAME = "sequences"
_WORKLOAD = "sharegpt4"
_FEW, _MANY = 128, 256
_BLOCK_SIZE = 16


def _job(setup: Setup, num_seqs: int, scope: Scope) -> CapacityJob:
    served = Served.by(setup, STALL_FREE, setup.relaxed_budget, _WORKLOAD, scope.num_requests)
    return CapacityJob(replace(served, max_num_seqs=num_seqs), (setup.relaxed_s,))


def _jobs(scope: Scope) -> tuple[Job, ...]:
    return tuple(_job(setup, num_seqs, scope) for setup in SETUPS for num_seqs in (_FEW, _MANY))


def _result(scope: Scope, results: Results) -> FigureResult:
    return FigureResult(
        name=_NAME,
        title="What binds at the relaxed target: 128 sequences against 256",
        notes=(
            "At its capacity under the relaxed target the stall-free system is far from that target: requests wait too "
            "long, since all places are taken (where 256 hold more), or since the devices or their KV cache have no "
            "more to give (where 256 hold the same). The paper keeps 128."
        ),
        rows=tuple(row for setup in SETUPS for row in _rows(setup, scope, results)),
    )


def _rows(setup: Setup, scope: Scope, results: Results) -> Iterator[Row]:
    def found(num_seqs: int) -> FoundCapacity:
        return results.capacity(_job(setup, num_seqs, scope), setup.relaxed_s)

    def row(num_seqs: int, ours: float | None, unit: str, baseline: str | None = None, num_requests: int = 0) -> Row:
        return Row(
            figure=_NAME,
            model=setup.model,
            workload=_WORKLOAD,
            slo=RELAXED,
            system=f"{STALL_FREE}, {num_seqs} sequences",
            baseline=baseline,
            ours=ours,
            paper=None,
            unit=unit,
            num_requests=num_requests,
        )

    few, many = found(_FEW), found(_MANY)
    gain = many.rate_per_s / few.rate_per_s if many.rate_per_s and few.rate_per_s else None
    yield row(_MANY, gain, "x", f"{STALL_FREE}, {_FEW} sequences", min(few.num_requests, many.num_requests))
    for num_seqs, one in ((_FEW, few), (_MANY, many)):
        report = one.at_capacity
        yield row(num_seqs, None if report is None else report.tbt_p99_s, "s, P99 TBT", None, one.num_requests)
        num_tokens = find_profile(setup.profile).num_blocks(_BLOCK_SIZE) * _BLOCK_SIZE
        yield row(num_seqs, num_tokens / num_seqs, "tokens of KV cache a sequence")


SEQUENCE_FIGURES = (Figure(_NAME, _jobs, _result),)
