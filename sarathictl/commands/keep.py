"""`sarathictl keep [REV]`."""

from typing import Annotated

import msgspec
import typer

from sarathictl.invocation import JsonOption, invocation_of


def keep(
    context: typer.Context,
    revision: Annotated[
        int | None, typer.Argument(min=0, metavar="REV", help="As `history` shows it [the latest on probation].")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Keep a change that is on probation."""
    invocation = invocation_of(context, is_json=json)
    with invocation.connect() as client:
        kept = client.keep(revision)
    invocation.answer(msgspec.to_builtins(kept), f"kept revision {kept.revision}")
