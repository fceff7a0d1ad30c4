"""`sarathictl history`: the settings that were in force, and what became of each change."""

import msgspec
import typer

from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.state.retuning import revision_line
from sarathid.protocol.control import GetHistory, History


def history(context: typer.Context, json: JsonOption = False) -> None:
    """List the changes of the settings since the daemon started."""
    invocation = invocation_of(context, is_json=json)
    with invocation.connect() as client:
        found = client.request(GetHistory(), History)
    invocation.answer(msgspec.to_builtins(found), "\n".join(map(revision_line, found.revisions)))
