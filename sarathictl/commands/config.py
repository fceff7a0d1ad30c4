"""`sarathictl config`: what is in force for this call, and where each value comes from."""

import os
from collections.abc import Iterator
from typing import Annotated

import typer

from sarathictl.client.contexts import control_file_path
from sarathictl.client.control import DEFAULT_TIMEOUT_S
from sarathictl.invocation import Invocation, JsonOption, invocation_of
from sarathictl.output import table
from sarathid.protocol.roles import Role

config = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@config.callback()
def _config() -> None:
    """Say what is in force for this call."""


@config.command()
def view(
    context: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    json: JsonOption = False,
) -> None:
    """Print which daemon is meant and how this program behaves."""
    invocation = invocation_of(context, is_json=json)
    values = list(_values(invocation))
    rows = [(name, value, source if origin else "") for name, value, source in values]
    fields = {name: {"value": value, "origin": source} for name, value, source in values}
    invocation.answer({"config": fields}, table(("NAME", "VALUE", ""), rows, {"NAME", "VALUE", ""}))


@config.command()
def path(context: typer.Context, json: JsonOption = False) -> None:
    """Print where ctl.toml is looked for."""
    found = control_file_path()
    invocation_of(context, is_json=json).answer({"path": str(found), "exists": found.exists()}, str(found))


def _values(invocation: Invocation) -> Iterator[tuple[str, str, str]]:
    choice = invocation.choice
    yield "addr", choice.addr or str(invocation.endpoint.runtime_dir), choice.origin
    yield "runtime_dir", str(invocation.endpoint.runtime_dir), choice.origin
    is_read_only = invocation.limit is Role.READ
    yield "read_only", str(is_read_only).lower(), _read_only_origin(invocation) if is_read_only else "default"
    yield (
        "timeout",
        f"{invocation.timeout_s:g}s",
        "--timeout" if invocation.timeout_s != DEFAULT_TIMEOUT_S else "default",
    )
    yield "color", str(invocation.has_color).lower(), "$NO_COLOR" if os.environ.get("NO_COLOR") else "terminal"
    yield "ascii", str(invocation.is_ascii).lower(), "terminal"
    source = "$SARATHID_CONFIG" if os.environ.get("SARATHID_CONFIG") else "default"
    yield "file", str(control_file_path()), source


def _read_only_origin(invocation: Invocation) -> str:
    if invocation.choice.is_read_only:
        return invocation.choice.origin
    return "$SARATHID_READONLY" if os.environ.get("SARATHID_READONLY") else "--read-only"
