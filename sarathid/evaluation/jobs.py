"""Simulations as child processes of `sarathid`, as many at a time as there are cores."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from sarathid.errors import SarathiError
from sarathid.evaluation.setups import MAX_MODEL_LEN, MIXED_WHOLE, Setup
from sarathid.protocol.slo import BudgetChoice
from sarathid.simulator.capacities import CapacityAnswer, FoundCapacity
from sarathid.simulator.report import SimulationReport

SEED = 42
_MAX_NUM_SEQS = 128
_MAX_ARRIVAL_S = 1800  # the paper's trials end after half an hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A set-up under a policy and a workload: what simulations and capacity searches have in common."""

    profile: str
    policy: str
    budget: BudgetChoice
    workload: str
    num_requests: int
    max_num_seqs: int = _MAX_NUM_SEQS
    seed: int = SEED
    disturbance_seed: int | None = None

    @classmethod
    def by(cls, setup: Setup, policy: str, budget: BudgetChoice, workload: str, num_requests: int) -> "Served":
        """Return what the artifact runs: a policy that reserves whole contexts gets few sequences."""
        return cls(
            profile=setup.profile,
            policy=policy,
            budget=budget,
            workload=workload,
            num_requests=num_requests,
            max_num_seqs=setup.max_reserving_seqs if policy == MIXED_WHOLE else _MAX_NUM_SEQS,
        )

    @property
    def arguments(self) -> tuple[str, ...]:
        """The options of `sarathid` that say this.

        Orca's iterations have no cap on prompt tokens but the number of its sequences; vLLM's have the longest context.
        """
        max_model_len = MAX_MODEL_LEN[self.workload]
        num_prompts = self.max_num_seqs if self.policy == MIXED_WHOLE else 1
        options = {
            "--profile": self.profile,
            "--policy": self.policy,
            "--budget": self.budget,
            "--workload": self.workload,
            "--num-requests": self.num_requests,
            "--max-num-seqs": self.max_num_seqs,
            "--max-model-len": max_model_len,
            "--max-batched-tokens": max_model_len * num_prompts,
            "--seed": self.seed,
        }
        if self.disturbance_seed is not None:
            options["--disturb"] = self.disturbance_seed
        return tuple(str(word) for option in options.items() for word in option)


@dataclass(frozen=True, slots=True)
class CapacityJob:
    """A search under one or several P99 TBT targets in seconds."""

    served: Served
    targets_s: tuple[float, ...]

    @property
    def arguments(self) -> tuple[str, ...]:
        targets = tuple(word for target_s in self.targets_s for word in ("--slo-tbt", f"{target_s}s"))
        return ("capacity", "--json", *self.served.arguments, "--max-arrival", f"{_MAX_ARRIVAL_S}s", *targets)


@dataclass(frozen=True, slots=True)
class SimulationJob:
    """One run at one rate, under a target if the budget follows one."""

    served: Served
    rate_per_s: float
    target_s: float | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        target = () if self.target_s is None else ("--slo-tbt", f"{self.target_s}s")
        return ("simulate", "--json", *self.served.arguments, "--rate", str(self.rate_per_s), *target)


Job: TypeAlias = CapacityJob | SimulationJob


def merge(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """Return each different job once; searches that differ in their targets alone become one, which shares trials."""
    targets_s: dict[Served, set[float]] = {}
    for job in jobs:
        if isinstance(job, CapacityJob):
            targets_s.setdefault(job.served, set()).update(job.targets_s)
    return tuple(
        dict.fromkeys(
            CapacityJob(job.served, tuple(sorted(targets_s[job.served]))) if isinstance(job, CapacityJob) else job
            for job in jobs
        )
    )


class Results:
    """What merged jobs printed."""

    def __init__(self, outputs: Mapping[Job, bytes]) -> None:
        self.outputs = outputs
        self._searches = {job.served: job for job in outputs if isinstance(job, CapacityJob)}

    def capacity(self, job: CapacityJob, target_s: float) -> FoundCapacity:
        search = self._searches[job.served]
        answer = msgspec.json.decode(self.outputs[search], type=CapacityAnswer)
        return answer.capacities[search.targets_s.index(target_s)]

    def report(self, job: SimulationJob) -> SimulationReport:
        return msgspec.json.decode(self.outputs[job], type=SimulationReport)


def run_jobs(jobs: Sequence[Job], on_done: Callable[[str], None]) -> Results:
    """Run the jobs, merged, and return what they printed; `on_done` is told of each.

    Raises `SarathiError` with the last words of a child that failed; those that run are waited for.
    """
    merged = merge(jobs)
    outputs: dict[Job, bytes] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        futures = {pool.submit(_run, job): job for job in merged}
        for future in as_completed(futures):
            job = futures[future]
            outputs[job] = future.result()
            on_done(f"{len(outputs)} of {len(merged)}: {job.served.profile} {job.served.policy} {job.served.workload}")
    return Results(outputs)


def _run(job: Job) -> bytes:
    child = subprocess.run([sys.executable, "-m", "sarathid", *job.arguments], capture_output=True, check=False)
    if child.returncode:
        last_words = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise SarathiError(f"`sarathid {' '.join(job.arguments)}` ended with {child.returncode}: {last_words}")
    return child.stdout
