"""`sarathictl plan`: what other settings would have done in the last minutes."""

import itertools
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from sarathictl import units
from sarathictl.client.control import PLAN_TIMEOUT_S, ControlAsk
from sarathictl.invocation import Invocation, JsonOption, invocation_of
from sarathictl.output import ExitCode
from sarathictl.state.forecast import any_holds, plan_lines
from sarathictl.state.retuning import read_budget_choice, read_targets
from sarathid.errors import ConfigError
from sarathid.protocol.control import MAX_CANDIDATES, MAX_PLAN_S, Plan
from sarathid.protocol.plan import Candidate, Planned


def plan(
    context: typer.Context,
    last: Annotated[str, typer.Option(metavar="DURATION", help="Replay the requests of the last 5m, say.")] = "5m",
    budget: Annotated[
        list[str] | None, typer.Option(metavar="N|auto|profiled", help="A token budget to try; may be repeated.")
    ] = None,
    budgets: Annotated[
        str | None, typer.Option(metavar="LOW:HIGH", help="Budgets to try, each twice the one before: 128:2048.")
    ] = None,
    slo: Annotated[
        list[str] | None, typer.Option(metavar="TARGETS", help="Targets to try: tbt=80ms,ttft=2s; may be repeated.")
    ] = None,
    policy: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A policy to try; may be repeated.")] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 8 unless a candidate holds its targets; without any, what is.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Say what other settings would have done in the last minutes.

    The daemon replays what came, in a process of its own, under every combination of the settings given; that takes
    seconds and changes nothing. First comes how well the same replay tells what did happen.
    """
    invocation = invocation_of(context, is_json=json)
    last_s = units.parse_duration_s(last)
    if last_s > MAX_PLAN_S:
        raise ConfigError(f"the daemon remembers {units.duration(MAX_PLAN_S)}, not {last}")
    tried = [*(budget or ()), *(read_doublings(budgets) if budgets else ())]
    planned = ask_plan(invocation, candidates_of(tried, slo or (), policy or ()), last_s)
    invocation.answer(msgspec.to_builtins(planned), "\n".join(plan_lines(planned)))
    if exit_code and not any_holds(planned):
        raise typer.Exit(ExitCode.BAD_ANSWER)


def ask_plan(invocation: Invocation, candidates: tuple[Candidate, ...], last_s: float | None = None) -> Planned:
    """Return the daemon's plan, by default over the time that it chooses; raises `ControlRefused`."""
    ask = ControlAsk(invocation.endpoint, max(invocation.timeout_s, PLAN_TIMEOUT_S))
    op = Plan(candidates=candidates)
    return ask(op if last_s is None else msgspec.structs.replace(op, last_s=last_s), Planned)


def read_doublings(text: str) -> list[str]:
    """Return the budgets that `"128:2048"` means; raises `ConfigError` when it can't be read."""
    low, _, high = text.partition(":")
    if not (low.isdecimal() and high.isdecimal() and 0 < int(low) <= int(high)):
        raise ConfigError(f"{text!r} are no budgets from one to another; write 128:2048")
    return [str(int(low) << power) for power in range(int(high).bit_length()) if int(low) << power <= int(high)]


def candidates_of(budgets: Sequence[str], slos: Sequence[str], policies: Sequence[str]) -> tuple[Candidate, ...]:
    """Return every combination of what is given; raises `ConfigError` when it can't be read or is too much."""
    if not (budgets or slos or policies):
        return ()
    candidates = tuple(
        Candidate(
            budget=None if budget is None else read_budget_choice(budget),
            slo=None if slo is None else read_targets(slo.split(",")),
            policy=policy,
        )
        for budget, slo, policy in itertools.product(budgets or (None,), slos or (None,), policies or (None,))
    )
    if len(candidates) > MAX_CANDIDATES:
        raise ConfigError(f"these are {len(candidates)} combinations; ask for at most {MAX_CANDIDATES}")
    return candidates
