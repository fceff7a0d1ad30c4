"""`sarathictl audit`: what the daemon wrote down of every change."""

import time
from typing import Annotated

import msgspec
import typer

from sarathictl import units
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.state.retuning import audit_line
from sarathid.protocol.control import AuditTrail, GetAudit


def audit(
    context: typer.Context,
    since: Annotated[str | None, typer.Option(metavar="DURATION", help="Only of the last 30m, say.")] = None,
    by: Annotated[str, typer.Option(metavar="WHO", help="Only by this user id, or whose name holds this.")] = "",
    json: JsonOption = False,
) -> None:
    """Print the audit log: who changed what, why, and what came of it."""
    invocation = invocation_of(context, is_json=json)
    since_s = 0.0 if since is None else time.time() - units.parse_duration_s(since)
    with invocation.connect() as client:
        found = client.request(GetAudit(since_s=since_s, by=by), AuditTrail)
    if found.num_left_out:
        invocation.say(f"{found.num_left_out} older entries are left out; narrow it with --since or --by")
    invocation.answer(msgspec.to_builtins(found), "\n".join(map(audit_line, found.entries)))
