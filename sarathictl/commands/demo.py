"""`sarathictl demo`: a daemon of its own, a question, and the same load under two policies."""

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from sarathictl.bench.daemon import find_program, own_daemon
from sarathictl.bench.interference import InterferenceBench, run_load
from sarathictl.bench.load import InterferencePlan
from sarathictl.bench.measurement import Setting
from sarathictl.bench.report import describe
from sarathictl.bench.run_files import RunFiles
from sarathictl.bench.signals import unwind_on_signals
from sarathictl.invocation import Invocation, invocation_of
from sarathictl.output import print_data
from sarathictl.streaming import stream_reply
from sarathid.errors import SarathiError

MODEL = "smollm2-135m"
QUESTION = "Tell me in two sentences what a queue is."
SETTINGS = (Setting("prefill-first"), Setting("stall-free", "auto"))
LIVE_LOAD_S = 900.0


def demo(
    context: typer.Context,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=10.0, max=600.0, help="How long each policy runs.")
    ] = 60.0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the raw rows go; demo-runs/<date> by default.")
    ] = None,
) -> None:
    """Serve a small model, freeze its streams with long prompts, then thaw them."""
    unwind_on_signals()
    invocation = invocation_of(context)
    sarathid = find_program("sarathid")
    if subprocess.run([sarathid, "models", "fetch", MODEL]).returncode:
        raise SarathiError(f"{MODEL} could not be fetched")
    invocation.say(f"Starting sarathid with {MODEL} ...")
    with own_daemon(sarathid, ["--model", MODEL]) as endpoint:
        invocation = replace(invocation, endpoint=endpoint)
        _ask(invocation)
        _compare(invocation, seconds, RunFiles(out or Path("demo-runs", f"{datetime.now():%Y-%m-%d-%H%M%S}")))
        if _has_terminal():
            asyncio.run(_watch(invocation))


def _ask(invocation: Invocation) -> None:
    print_data(f"\n> {QUESTION}")
    stream_reply(
        invocation, {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 80, "temperature": 0.0}
    )


def _compare(invocation: Invocation, seconds: float, files: RunFiles) -> None:
    plan = InterferencePlan(duration_s=seconds)
    invocation.say(
        f"\nNow {plan.num_streams} streams, and a prompt of {plan.num_prompt_tokens} tokens every "
        f"{plan.period_s:.0f} s, under one policy and then the other."
    )
    summary = InterferenceBench(invocation.endpoint, plan, files, invocation.say).run(SETTINGS)
    print_data(f"\n{describe(summary)}\n\nRaw rows and facts: {files.directory}")


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and not os.environ.get("CI")


async def _watch(invocation: Invocation) -> None:
    """Show the console over the same load until the person leaves it."""
    invocation.say("\nThe console comes up over the same load; q leaves it.")
    load = asyncio.create_task(run_load(invocation.endpoint, InterferencePlan(duration_s=LIVE_LOAD_S)))
    console = await asyncio.create_subprocess_exec(
        find_program("sarathictl"), "--addr", str(invocation.endpoint.runtime_dir), "top"
    )
    try:
        await console.wait()
    finally:
        if console.returncode is None:
            console.terminate()
            await console.wait()
        load.cancel()
        with suppress(asyncio.CancelledError):
            await load
