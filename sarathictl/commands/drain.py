"""`sarathictl drain`."""

import sys
from typing import Annotated

import msgspec
import typer

from sarathictl import units
from sarathictl.invocation import Invocation, JsonOption, invocation_of
from sarathid.errors import ConfigError


def drain(
    context: typer.Context,
    deadline: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Cut off what still runs after this (30s, 5m).")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Take nothing new, finish what runs, then stop the daemon."""
    invocation = invocation_of(context, is_json=json)
    timeout_s = None if deadline is None else units.parse_duration_s(deadline)
    with invocation.connect() as client:
        if not (yes or invocation.is_sure):
            _confirm(invocation)
        draining = client.drain(timeout_s)
    words = f"draining {draining.num_in_flight} in flight, at most {units.duration(draining.timeout_s)}"
    invocation.answer(msgspec.to_builtins(draining), words)


def _confirm(invocation: Invocation) -> None:
    if not sys.stdin.isatty():
        raise ConfigError("draining stops the daemon; say --yes where nobody can be asked")
    typer.confirm(f"Drain and stop the daemon at {invocation.endpoint.runtime_dir}?", abort=True, err=True)
