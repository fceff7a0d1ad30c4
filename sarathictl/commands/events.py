"""`sarathictl events`: what happened."""

from collections.abc import Sequence
from typing import Annotated

import typer

from sarathictl import units
from sarathictl.commands.tell import fields_of, follow, line_of, remembered
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.state.happenings import Kind


def events(
    context: typer.Context,
    since: Annotated[str | None, typer.Option(metavar="DURATION", help="Only of the last 10m, say.")] = None,
    type_: Annotated[
        list[Kind] | None, typer.Option("--type", help="Only of this kind; may be repeated.", case_sensitive=False)
    ] = None,
    following: Annotated[
        bool, typer.Option("--follow", "-f", help="Then print what comes; with --json, one object a line.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Print what happened: changes, stalls, overloads, preemptions, failures."""
    invocation = invocation_of(context, is_json=json)
    since_s = None if since is None else units.parse_duration_s(since)
    kinds: Sequence[Kind] = type_ or tuple(Kind)
    if following:
        return follow(invocation, since_s, lambda happening: happening.kind in kinds)
    found, offset_s = remembered(invocation, since_s)
    chosen = [happening for happening in found if happening.kind in kinds]
    return invocation.answer(
        {"events": [fields_of(happening, offset_s) for happening in chosen]},
        "\n".join(line_of(happening, offset_s, is_wide=invocation.is_wide) for happening in chosen),
    )
