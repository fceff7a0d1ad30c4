"""`sarathid capacity`: the highest request rate that meets a TBT objective on devices described by a cost profile."""

from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Annotated

import msgspec
import typer

from sarathid.capacity import SCHEDULING_DELAY_S, Capacity, CapacitySearch, Objective, meets
from sarathid.commands import simulation
from sarathid.config import parse_duration_s, resolve_target_s
from sarathid.costmodel.cost_profile import CostProfile
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.request_list import RequestList
from sarathid.simulator.executor import isolated_decode_s
from sarathid.simulator.report import SimulationReport
from sarathid.simulator.serving import Serving
from sarathid.simulator.simulator import simulate

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class FoundTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One rate that a search looked at, and what it showed."""

    rate_per_s: float
    holds: bool
    report: SimulationReport


class FoundCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """A search's answer; a None rate means that even the lowest one that was tried fails."""

    slo_tbt_s: float
    scheduling_delay_s: float
    rate_per_s: float | None
    lowest_failing_per_s: float | None
    trials: tuple[FoundTrial, ...]


class CapacityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What `sarathid capacity --json` prints; capacities are in the order of the objectives asked for."""

    profile: str
    policy: str
    token_budget: int
    workload: str
    num_requests: int
    capacities: tuple[FoundCapacity, ...]


@app.command()
def capacity(
    profile: simulation.ProfileName,
    workload: simulation.WorkloadName,
    slo_tbt: Annotated[
        list[str], typer.Option(metavar="TARGET", help="P99 TBT not to exceed, 100ms or 5x; may be given repeatedly.")
    ],
    policy: simulation.PolicyName = "stall-free",
    budget: simulation.TokenBudget = 512,
    max_delay: Annotated[
        str, typer.Option(metavar="TIME", help="Median scheduling delay not to exceed.")
    ] = f"{SCHEDULING_DELAY_S:g}s",
    num_requests: simulation.NumRequests = None,
    scale: simulation.Scale = "1:1",
    burstiness: simulation.Burstiness = 1.0,
    seed: simulation.Seed = 0,
    max_num_seqs: simulation.MaxNumSeqs = 128,
    max_model_len: simulation.MaxModelLen = None,
    max_batched_tokens: simulation.MaxBatchedTokens = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find the highest rate a second with P99 TBT and median scheduling delay within their targets, to 2.5 %."""
    found, serving, requests = simulation.settle(
        profile=profile,
        policy=policy,
        budget=budget,
        workload=workload,
        num_requests=num_requests,
        scale=scale,
        burstiness=burstiness,
        seed=seed,
        max_num_seqs=max_num_seqs,
        max_model_len=max_model_len,
        max_batched_tokens=max_batched_tokens,
    )
    isolated_s = isolated_decode_s(IterationCostModel(found))
    delay_s = parse_duration_s(max_delay)
    objectives = [Objective(resolve_target_s(target, isolated_s), delay_s) for target in slo_tbt]
    capacities = find_capacities(found, serving, requests, objectives, _say)
    answer = CapacityAnswer(
        profile=found.name,
        policy=serving.policy,
        token_budget=serving.token_budget,
        workload=workload,
        num_requests=len(requests.requests),
        capacities=tuple(_found(one) for one in capacities),
    )
    typer.echo(msgspec.json.encode(answer).decode() if as_json else "\n".join(_lines(answer)))


def find_capacities(
    profile: CostProfile,
    serving: Serving,
    requests: RequestList,
    objectives: list[Objective],
    on_trial: Callable[[float, SimulationReport], None],
) -> list[Capacity[SimulationReport]]:
    """Return the capacity under each objective; `on_trial` is told of every run."""

    def run_trial(rate_per_s: float, objective: Objective) -> SimulationReport:
        report = simulate(profile, serving, requests.at_rate(rate_per_s).requests, give_up_on=objective)
        on_trial(rate_per_s, report)
        return report

    search = CapacitySearch(run_trial, first_rate_per_s=first_guess_per_s(profile, serving, requests))
    loosest_first = sorted(set(objectives), key=lambda objective: objective.tbt_s, reverse=True)
    found = {objective: search.find(objective) for objective in loosest_first}
    return [found[objective] for objective in objectives]


def first_guess_per_s(profile: CostProfile, serving: Serving, requests: RequestList) -> float:
    """Return the rate at which mean requests alone would keep the devices busy, a share of 32 in each decode."""
    cost_model = IterationCostModel(profile)
    num_prompt_tokens = fmean([request.num_prompt_tokens for request in requests.requests])
    num_output_tokens = fmean([request.num_output_tokens for request in requests.requests])
    num_chunks = num_prompt_tokens / serving.token_budget
    prefill_s = num_chunks * cost_model.prefill_s(serving.token_budget) / cost_model.num_stages
    decode_s = num_output_tokens * isolated_decode_s(cost_model) / 32
    return 1.0 / (prefill_s + decode_s)


def _found(one: Capacity[SimulationReport]) -> FoundCapacity:
    return FoundCapacity(
        slo_tbt_s=one.objective.tbt_s,
        scheduling_delay_s=one.objective.scheduling_delay_s,
        rate_per_s=one.rate_per_s,
        lowest_failing_per_s=one.lowest_failing_per_s,
        trials=tuple(
            FoundTrial(rate_per_s=rate_per_s, holds=meets(trial, one.objective), report=trial)
            for rate_per_s, trial in one.trials
        ),
    )


def _say(rate_per_s: float, report: SimulationReport) -> None:
    ended = "" if report.is_complete else ", stopped"
    typer.echo(
        f"{rate_per_s:8.3f}/s  P99 TBT {_seconds(report.tbt_p99_s)}  median delay "
        f"{_seconds(report.scheduling_delay_p50_s)}  {report.num_finished} of {report.num_requests} finished{ended}",
        err=True,
    )


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3f} s"


def _lines(answer: CapacityAnswer) -> Iterator[str]:
    yield (
        f"{answer.profile}, {answer.policy}, budget {answer.token_budget}, "
        f"{answer.num_requests} requests of {answer.workload} (simulated)"
    )
    for one in answer.capacities:
        rate = "below all that was tried" if one.rate_per_s is None else f"{one.rate_per_s:.3f} requests/s"
        yield f"P99 TBT {one.slo_tbt_s:.3f} s, median delay {one.scheduling_delay_s:g} s: {rate}"
