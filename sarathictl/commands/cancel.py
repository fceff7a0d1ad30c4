"""`sarathictl cancel ID...`."""

from typing import Annotated

import typer

from sarathictl.invocation import JsonOption, invocation_of
from sarathid.protocol.control import Cancel, Cancelled


def cancel(
    context: typer.Context,
    request_ids: Annotated[list[int], typer.Argument(metavar="ID...", help="As `sarathictl requests` shows them.")],
    json: JsonOption = False,
) -> None:
    """End requests now."""
    invocation = invocation_of(context, is_json=json)
    with invocation.connect() as client:
        ended = [client.request(Cancel(request_id=request_id), Cancelled).request_id for request_id in request_ids]
    invocation.answer({"cancelled": ended}, "\n".join(f"cancelled {request_id}" for request_id in ended))
