"""`sarathictl history`: the settings that were in force, and what became of each change."""

import msgspec
import typer

from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.state.retuning import revision_in_full, revision_line
from sarathid.protocol.control import GetHistory, History


def history(context: typer.Context, json: JsonOption = False) -> None:
    """List the changes of the settings since the daemon started."""
    invocation = invocation_of(context, is_json=json)
    with invocation.connect() as client:
        found = client.request(GetHistory(), History)
    line_of = revision_in_full if invocation.is_wide else revision_line
    invocation.answer(msgspec.to_builtins(found), "\n".join(map(line_of, found.revisions)))
