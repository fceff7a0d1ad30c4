"""What `simulate` and `capacity` are told in common: whose devices, how they are served, and under which load."""

from typing import Annotated

import typer

from sarathid.costmodel.cost_profile import CostProfile
from sarathid.costmodel.library import find_profile
from sarathid.errors import ConfigError
from sarathid.protocol.slo import BudgetChoice, read_budget
from sarathid.request_list import RequestList
from sarathid.simulator.serving import Serving
from sarathid.workload_catalog import FORMS, load_requests, parse_scale

PROFILE = typer.Option("--profile", metavar="NAME", help="A cost profile, or a .toml file.")
WORKLOAD = typer.Option("--workload", metavar="WORKLOAD", help=f"{FORMS}.")
PolicyName = Annotated[str, typer.Option("--policy", metavar="NAME", help="The scheduling policy.")]
TokenBudget = Annotated[
    str,
    typer.Option("--budget", "--token-budget", metavar="N|auto|profiled", help="Tokens an iteration, or who chooses."),
]
Disturb = Annotated[
    int | None,
    typer.Option("--disturb", metavar="SEED", help="Let the devices differ from their profile, drawn from a seed."),
]
NumRequests = Annotated[
    int | None, typer.Option("--num-requests", metavar="N", help="The first so many [512, or all of a file].")
]
Scale = Annotated[str, typer.Option("--scale", metavar="1:N", help="Divide every length by N.")]
Burstiness = Annotated[
    float, typer.Option("--burstiness", metavar="X", help="Standard deviation of the gaps over their mean.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Draws the same workload again.")]
MaxNumSeqs = Annotated[int, typer.Option("--max-num-seqs", metavar="N", help="Most requests at a time.")]
MaxModelLen = Annotated[
    int | None, typer.Option("--max-model-len", metavar="N", help="Longest context [the workload's longest].")
]
MaxBatchedTokens = Annotated[
    int | None,
    typer.Option("--max-batched-tokens", metavar="N", help="Most whole-prompt tokens an iteration [longest context]."),
]


def settle(
    *,
    profile: str,
    policy: str,
    budget: str,
    workload: str,
    num_requests: int | None,
    scale: str,
    burstiness: float,
    seed: int,
    max_num_seqs: int,
    max_model_len: int | None,
    max_batched_tokens: int | None,
    disturb: int | None,
) -> tuple[CostProfile, Serving, RequestList]:
    """Return what the options stand for; raises `ConfigError` for the first that cannot be."""
    found = find_profile(profile)
    requests = load_requests(
        workload, num_requests=num_requests, seed=seed, scale=parse_scale(scale), burstiness=burstiness
    )
    serving = Serving(
        policy=policy,
        token_budget=_budget(budget),
        disturbance_seed=disturb,
        max_num_seqs=max_num_seqs,
        max_model_len=requests.max_model_len if max_model_len is None else max_model_len,
        max_num_batched_tokens=max_batched_tokens,
    )
    return found, serving, requests


def _budget(text: str) -> BudgetChoice:
    try:
        return read_budget(text)
    except ValueError as error:
        raise ConfigError(f"--budget: {text!r} is not understood; {error}") from None
