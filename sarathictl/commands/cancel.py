"""`sarathictl cancel ID...`, or all of them, or those of one client."""

import sys
from typing import Annotated

import typer

from sarathictl import units
from sarathictl.candidates import request_ids
from sarathictl.client.control import ControlClient
from sarathictl.invocation import Invocation, JsonOption, invocation_of
from sarathid.errors import ConfigError, ControlRefused
from sarathid.protocol.control import ErrorCode, RequestStatus


def cancel(
    context: typer.Context,
    ids: Annotated[
        list[int] | None,
        typer.Argument(metavar="[ID]...", help="As `sarathictl requests` shows them.", autocompletion=request_ids),
    ] = None,
    is_all: Annotated[bool, typer.Option("--all", help="Every request that the daemon holds now.")] = False,
    client: Annotated[str, typer.Option(metavar="WORDS", help="All of clients whose name holds this.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which; end none.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """End requests now."""
    invocation = invocation_of(context, is_json=json)
    if bool(ids) + is_all + bool(client) != 1:
        raise ConfigError("say which requests: their ids, --client WORDS, or --all")
    with invocation.connect() as connection:
        meant = list(ids) if ids else _held_by(connection, client)
        if dry_run:
            invocation.answer({"would_cancel": meant}, "\n".join(f"would cancel {number}" for number in meant))
            return
        if not (ids or yes or invocation.is_sure):
            _confirm(invocation, len(meant))
        ended = _cancel(connection, meant, may_be_gone=not ids)
    invocation.answer({"cancelled": ended}, "\n".join(f"cancelled {number}" for number in ended))


def _held_by(connection: ControlClient, client: str) -> list[int]:
    """Return the ids of the requests of clients whose name holds `client`, of all where it is empty."""
    held: tuple[RequestStatus, ...] = connection.requests().requests
    return [request.request_id for request in held if client in request.client]


def _cancel(connection: ControlClient, meant: list[int], *, may_be_gone: bool) -> list[int]:
    """End requests and return which; raises `ControlRefused` for one that is gone, unless it may be."""
    ended = []
    for number in meant:
        try:
            ended.append(connection.cancel(number).request_id)
        except ControlRefused as refused:
            if not may_be_gone or refused.code != ErrorCode.NOT_FOUND:
                raise
    return ended


def _confirm(invocation: Invocation, number: int) -> None:
    what = units.number_of("request", number)
    if not sys.stdin.isatty():
        raise ConfigError(f"this ends {what}; say --yes where nobody can be asked")
    typer.confirm(f"End {what} at {invocation.endpoint.runtime_dir}?", abort=True, err=True)
