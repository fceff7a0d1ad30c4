"""`sarathictl bench`: put a known load on a running daemon and measure what its clients see."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from typer.core import TyperGroup

from sarathictl.bench.capacity import CapacityBench, CapacityPlan
from sarathictl.bench.capacity import describe as describe_capacity
from sarathictl.bench.interference import InterferenceBench
from sarathictl.bench.load import InterferencePlan
from sarathictl.bench.measurement import parse_setting
from sarathictl.bench.report import describe
from sarathictl.bench.run_files import RunFiles
from sarathictl.bench.signals import unwind_on_signals
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.output import ExitCode
from sarathid.workload_catalog import FORMS, load_requests, parse_scale


class Benchmarks(TyperGroup):
    """Takes a benchmark's name as an option too: `bench --capacity` is `bench capacity`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        name = args[0].removeprefix("--") if args else ""
        return super().parse_args(ctx, [name, *args[1:]] if name in self.commands else args)


bench = typer.Typer(cls=Benchmarks, add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@bench.callback()
def _bench() -> None:
    """Put a known load on the daemon and measure what its clients see."""


@bench.command()
def capacity(
    context: typer.Context,
    policy: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[:BUDGET]", help="Search under this policy; repeat to compare with the first."),
    ] = None,
    workload: Annotated[str, typer.Option(metavar="WORKLOAD", help=f"{FORMS}.")] = "sharegpt4",
    scale: Annotated[str, typer.Option(metavar="1:N", help="Divide every length by N.")] = "1:8",
    num_requests: Annotated[int, typer.Option(metavar="N", min=10, max=1000, help="Requests a trial.")] = 100,
    rate: Annotated[
        float, typer.Option(metavar="R", min=0.001, max=100.0, help="Requests a second, tried first.")
    ] = 0.5,
    max_ratio: Annotated[
        float, typer.Option(metavar="X", min=1.0, max=100.0, help="Give a setting up X times below the first one.")
    ] = 4.0,
    grace: Annotated[
        float, typer.Option(metavar="SECONDS", min=1.0, max=3600.0, help="For the last requests to finish.")
    ] = 60.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Of lengths, arrivals and tokens.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where raw rows go; bench-runs/<date> by default.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Find the highest rate with P99 TBT within the daemon's target and median scheduling delay within 2 s, to 2.5 %.

    The daemon gets its own policy and budget back.
    """
    unwind_on_signals()
    invocation = invocation_of(context, is_json=json)
    plan = CapacityPlan(
        workload=f"{workload} {scale}",
        requests=load_requests(workload, num_requests=num_requests, seed=seed, scale=parse_scale(scale)),
        first_rate_per_s=rate,
        max_ratio=max_ratio,
        grace_s=grace,
        seed=seed,
    )
    settings = [parse_setting(text) for text in policy or ("stall-free", "prefill-first", "mixed-whole")]
    directory = out or Path("bench-runs", f"capacity-{datetime.now():%Y-%m-%d-%H%M%S}")
    summary = CapacityBench(invocation.endpoint, plan, directory, invocation.say).run(settings)
    invocation.answer(msgspec.to_builtins(summary), describe_capacity(summary))
    invocation.say(f"raw rows and facts: {directory}")


@bench.command()
def interference(
    context: typer.Context,
    policy: Annotated[
        list[str] | None, typer.Option(metavar="NAME[:BUDGET]", help="Run under this policy; repeat to compare.")
    ] = None,
    streams: Annotated[int, typer.Option(metavar="N", min=1, max=1024, help="Requests that decode all the time.")] = 8,
    stream_prompt: Annotated[int, typer.Option(metavar="N", min=1, help="Tokens of a stream's prompt.")] = 256,
    prompt: Annotated[int, typer.Option(metavar="N", min=1, help="Tokens of a long prompt.")] = 2000,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=3600.0, help="From one long prompt to the next.")
    ] = 10.0,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=1.0, max=3600.0, help="How long a phase lasts.")
    ] = 60.0,
    repeats: Annotated[int, typer.Option(metavar="N", min=1, max=20, help="Run all policies so many times over.")] = 1,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the prompts' tokens.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where raw rows go; bench-runs/<date> by default.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Freeze decoding streams with long prompts, under one policy after another, and compare.

    The daemon gets its own policy and budget back. Exit code 8 when a request failed.
    """
    unwind_on_signals()
    invocation = invocation_of(context, is_json=json)
    settings = [parse_setting(text) for text in policy or ("prefill-first", "stall-free")]
    plan = InterferencePlan(
        num_streams=streams,
        num_stream_prompt_tokens=stream_prompt,
        num_prompt_tokens=prompt,
        period_s=every,
        duration_s=seconds,
        seed=seed,
    )
    files = RunFiles(out or Path("bench-runs", f"interference-{datetime.now():%Y-%m-%d-%H%M%S}"))
    summary = InterferenceBench(invocation.endpoint, plan, files, invocation.say).run(settings, repeats)
    invocation.answer(msgspec.to_builtins(summary), describe(summary))
    invocation.say(f"raw rows and facts: {files.directory}")
    if any(found.failures for found in summary.measurements):
        raise typer.Exit(ExitCode.BAD_ANSWER)
