"""`sarathictl selftest`: put a running daemon to the test, and say what it did not stand."""

import asyncio
import random
import sys
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Annotated, Any

import typer

from sarathictl.bench.signals import unwind_on_signals
from sarathictl.invocation import Invocation, JsonOption, invocation_of
from sarathictl.output import ExitCode
from sarathictl.selftest.chaos import Chaos, ChaosPlan
from sarathictl.selftest.check import SelfTestReport, describe
from sarathictl.selftest.daemon import TestedDaemon
from sarathictl.selftest.fuzz import Fuzz, FuzzPlan
from sarathictl.selftest.overload import Overload, OverloadPlan
from sarathictl.selftest.random_retuning import POLICIES
from sarathictl.selftest.soak import Soak, SoakPlan
from sarathid.errors import ConfigError

selftest = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

SeedOption = Annotated[int | None, typer.Option(metavar="N", help="Draw the same as another run; told at the start.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@selftest.callback()
def _selftest() -> None:
    """Put the daemon to the test: malformed frames, killed engines, many requests, too many.

    It is retuned and loaded: use one that serves nobody else.
    """


@selftest.command()
def soak(
    context: typer.Context,
    requests: Annotated[int, typer.Option(metavar="N", min=1, max=10_000_000, help="How many in all.")] = 10_000,
    at_a_time: Annotated[int, typer.Option(metavar="N", min=1, max=512, help="How many at a time.")] = 32,
    seed: SeedOption = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Send many requests of every kind while settings change: all are answered, no block and no memory is kept.

    A fifth disconnect, a tenth are too long. A KV cache of less than a few contexts (`serve --kv-memory`) has
    requests preempted too. Exit code 8 when something does not hold.
    """
    invocation = _begin(context, yes, json)
    plan = SoakPlan(num_requests=requests, num_at_a_time=at_a_time, seed=_seed(seed, invocation))
    _end(invocation, Soak(TestedDaemon(invocation.endpoint), plan, invocation.say).run())


@selftest.command()
def fuzz(
    context: typer.Context,
    frames: Annotated[int, typer.Option(metavar="N", min=1, max=100_000_000, help="How many in all.")] = 100_000,
    seed: SeedOption = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Send malformed frames to all three sockets: the daemon lives, answers in its own words, and keeps no memory.

    Exit code 8 when something does not hold.
    """
    invocation = _begin(context, yes, json)
    plan = FuzzPlan(num_frames=frames, seed=_seed(seed, invocation))
    _end(invocation, Fuzz(TestedDaemon(invocation.endpoint), plan, invocation.say).run())


@selftest.command()
def chaos(
    context: typer.Context,
    minutes: Annotated[float, typer.Option(metavar="N", min=0.1, max=10_080.0, help="How long at most.")] = 5.0,
    rounds: Annotated[int | None, typer.Option(metavar="N", min=1, help="How many rounds at most.")] = None,
    streams: Annotated[int, typer.Option(metavar="N", min=1, max=512, help="Requests in a round.")] = 16,
    policy: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Change among these alone; repeatedly [all].")
    ] = None,
    seed: SeedOption = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Kill and stop the engine under load, at moments drawn at random, while settings change and clients leave.

    Each round strikes once. All streams must end whole and as undisturbed ones did, with every block back. Exit code 8
    when something does not hold.
    """
    if unknown := set(policy or ()).difference(POLICIES):
        raise ConfigError(f"there is no policy {min(unknown)!r}; choose of {', '.join(POLICIES)}")
    invocation = _begin(context, yes, json)
    plan = ChaosPlan(
        duration_s=60.0 * minutes,
        num_rounds=rounds,
        num_streams=streams,
        seed=_seed(seed, invocation),
        policies=tuple(policy or POLICIES),
    )
    _end(invocation, Chaos(TestedDaemon(invocation.endpoint), plan, invocation.say).run())


@selftest.command()
def overload(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(metavar="N", min=1.0, max=86_400.0, help="For how long.")] = 60.0,
    factor: Annotated[float, typer.Option(metavar="X", min=1.1, max=1000.0, help="Times what it serves.")] = 10.0,
    at_a_time: Annotated[int, typer.Option(metavar="N", min=1, max=512, help="Clients while that is learned.")] = 16,
    learn: Annotated[float, typer.Option(metavar="N", min=1.0, max=3600.0, help="Seconds to learn it in.")] = 15.0,
    seed: SeedOption = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Send ten times the requests that are served: who is taken keeps the target, who is not is told within 50 ms.

    Refusals are timed by the daemon, from their first byte on. Exit code 8 when something does not hold.
    """
    invocation = _begin(context, yes, json)
    plan = OverloadPlan(
        duration_s=seconds, factor=factor, num_at_a_time=at_a_time, learn_s=learn, seed=_seed(seed, invocation)
    )
    _end(invocation, Overload(TestedDaemon(invocation.endpoint), plan, invocation.say).run())


def _begin(context: typer.Context, is_sure: bool, is_json: bool) -> Invocation:
    unwind_on_signals()
    invocation = invocation_of(context, is_json=is_json)
    if not is_sure:
        _confirm(invocation)
    return invocation


def _confirm(invocation: Invocation) -> None:
    if not sys.stdin.isatty():
        raise ConfigError("a self-test disturbs who else the daemon serves; say --yes where nobody can be asked")
    typer.confirm(f"Disturb whom the daemon at {invocation.endpoint.runtime_dir} serves?", abort=True, err=True)


def _seed(given: int | None, invocation: Invocation) -> int:
    seed = random.SystemRandom().randrange(1 << 31) if given is None else given
    invocation.say(f"seed {seed}")
    return seed


def _end(invocation: Invocation, test: Coroutine[Any, Any, SelfTestReport]) -> None:
    report = asyncio.run(test)
    fields = {"seed": report.seed, "is_right": report.is_right, "checks": [asdict(check) for check in report.checks]}
    invocation.answer(fields, describe(report))
    if not report.is_right:
        raise typer.Exit(ExitCode.BAD_ANSWER)
