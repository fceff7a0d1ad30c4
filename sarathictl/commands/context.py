"""`sarathictl context`: the names of daemons, in ctl.toml."""

from typing import Annotated

import msgspec
import typer

from sarathictl.candidates import context_names
from sarathictl.client.contexts import (
    BadgeColor,
    Context,
    ControlFile,
    control_file_path,
    read_control_file,
    write_control_file,
)
from sarathictl.client.endpoint import SSH_SCHEME, local_endpoint
from sarathictl.client.ssh_bridge import read_ssh_address
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.output import table

context = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="As `context list` shows it.", autocompletion=context_names)
]


@context.callback()
def _context() -> None:
    """Give daemons names, and choose the one that is meant."""


@context.command("list")
def list_(context: typer.Context, json: JsonOption = False) -> None:
    """Print the names and where they lead."""
    invocation = invocation_of(context, is_json=json)
    found = read_control_file(control_file_path())
    rows = [
        ("*" if name == found.current else "", name, one.addr, "read-only" if one.read_only else "", one.color or "")
        for name, one in sorted(found.contexts.items())
    ]
    invocation.answer(
        msgspec.to_builtins(found), table(("", "NAME", "ADDR", "", "COLOR"), rows, {"", "NAME", "ADDR", "COLOR"})
    )


@context.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, dots and dashes.")],
    addr: Annotated[str, typer.Argument(metavar="ADDR", help="A runtime directory, unix://DIR or ssh://HOST[/DIR].")],
    read_only: Annotated[bool, typer.Option("--read-only", help="Change nothing there from here.")] = False,
    color: Annotated[
        BadgeColor | None, typer.Option(help="In what its name stands out in `top`.", case_sensitive=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Give a daemon a name, or another address."""
    if addr.startswith(SSH_SCHEME):
        read_ssh_address(addr)
    else:
        local_endpoint(addr)
    path = control_file_path()
    _save(
        context, read_control_file(path).with_context(name, Context(addr, read_only, color)), f"{name} is {addr}", json
    )


@context.command()
def use(context: typer.Context, name: NameArgument, json: JsonOption = False) -> None:
    """Mean this daemon where none is named."""
    _save(context, read_control_file(control_file_path()).using(name), f"{name} is meant from now on", json)


@context.command()
def remove(context: typer.Context, name: NameArgument, json: JsonOption = False) -> None:
    """Forget a name."""
    _save(context, read_control_file(control_file_path()).without(name), f"{name} is no name any more", json)


def _save(context: typer.Context, content: ControlFile, words: str, is_json: bool) -> None:
    write_control_file(control_file_path(), content)
    invocation_of(context, is_json=is_json).answer(msgspec.to_builtins(content), words)
