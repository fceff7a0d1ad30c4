"""`sarathid capacity`: the highest request rate that meets a TBT objective on devices described by a cost profile."""

import math
from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer

from sarathid.capacity import SCHEDULING_DELAY_S, Objective
from sarathid.commands import simulation
from sarathid.config import parse_duration_s, resolve_target_s
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.executor.simulated import isolated_decode_s
from sarathid.simulator.capacities import CapacityAnswer, find_capacities
from sarathid.simulator.report import SimulationReport

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def capacity(
    profile: Annotated[str, simulation.PROFILE],
    workload: Annotated[str, simulation.WORKLOAD],
    slo_tbt: Annotated[
        list[str], typer.Option(metavar="TARGET", help="P99 TBT not to exceed, 100ms or 5x; may be given repeatedly.")
    ],
    policy: simulation.PolicyName = "stall-free",
    budget: simulation.TokenBudget = "512",
    max_delay: Annotated[
        str, typer.Option(metavar="TIME", help="Median scheduling delay not to exceed.")
    ] = f"{SCHEDULING_DELAY_S:g}s",
    num_requests: simulation.NumRequests = None,
    max_arrival: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of these, those that come within this time [all].")
    ] = None,
    scale: simulation.Scale = "1:1",
    burstiness: simulation.Burstiness = 1.0,
    seed: simulation.Seed = 0,
    max_num_seqs: simulation.MaxNumSeqs = 128,
    max_model_len: simulation.MaxModelLen = None,
    max_batched_tokens: simulation.MaxBatchedTokens = None,
    disturb: simulation.Disturb = None,
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
        disturb=disturb,
    )
    isolated_s = isolated_decode_s(IterationCostModel(found))
    delay_s = parse_duration_s(max_delay)
    max_arrival_s = math.inf if max_arrival is None else parse_duration_s(max_arrival)
    objectives = [Objective(resolve_target_s(target, isolated_s), delay_s) for target in slo_tbt]
    answer = CapacityAnswer(
        profile=found.name,
        policy=serving.policy,
        token_budget=serving.token_budget,
        workload=workload,
        num_requests=len(requests.requests),
        capacities=find_capacities(found, serving, requests, objectives, _say, max_arrival_s),
    )
    typer.echo(msgspec.json.encode(answer).decode() if as_json else "\n".join(_lines(answer)))


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
