"""`sarathictl stalls`: who waited longer than the target, and why."""

from typing import Annotated

import typer

from sarathictl import units
from sarathictl.commands.tell import fields_of, follow, line_of, remembered
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.output import ExitCode
from sarathictl.state.happenings import Happening
from sarathid.errors import ConfigError
from sarathid.protocol.stats import StallCause, StallEvent


def stalls(
    context: typer.Context,
    since: Annotated[str | None, typer.Option(metavar="DURATION", help="Only of the last 1h, say.")] = None,
    cause: Annotated[list[StallCause] | None, typer.Option(help="Only of this cause; may be repeated.")] = None,
    min_: Annotated[str | None, typer.Option("--min", metavar="DURATION", help="Only waits of 200ms, say.")] = None,
    following: Annotated[
        bool, typer.Option("--follow", "-f", help="Then print what comes; with --json, one object a line.")
    ] = False,
    fail_over: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Exit 8 when there are more than so many.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print who waited longer than the target, how long, and because of whom."""
    invocation = invocation_of(context, is_json=json)
    since_s = None if since is None else units.parse_duration_s(since)
    min_s = 0.0 if min_ is None else units.parse_duration_s(min_)
    causes = tuple(cause or StallCause)

    def passes(happening: Happening) -> bool:
        stall = happening.record
        return isinstance(stall, StallEvent) and stall.cause in causes and stall.worst_gap_s >= min_s

    if following:
        if fail_over is not None:
            raise ConfigError("--fail-over counts what is over; it goes without --follow")
        follow(invocation, since_s, passes)
        return
    found, offset_s = remembered(invocation, since_s)
    chosen = [happening for happening in found if passes(happening)]
    invocation.answer(
        {"stalls": [fields_of(happening, offset_s) for happening in chosen]},
        "\n".join(line_of(happening, offset_s, is_wide=invocation.is_wide) for happening in chosen),
    )
    if fail_over is not None and len(chosen) > fail_over:
        raise typer.Exit(ExitCode.BAD_ANSWER)
