"""What every command gets of the global options, and the option that all have."""

from dataclasses import replace
from typing import Annotated, TypeAlias

import typer

from sarathictl.call import Invocation as Invocation  # commands take it from here, beside the rest
from sarathictl.output import Form

JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def invocation_of(context: typer.Context, *, is_json: bool = False) -> Invocation:
    """Return what the global options of this call say; `is_json` is the command's own `--json`."""
    invocation = context.find_object(Invocation)
    assert invocation is not None
    return replace(invocation, form=Form.JSON) if is_json and not invocation.is_json else invocation
