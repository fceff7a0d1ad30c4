"""`sarathictl set-policy NAME`."""

from typing import Annotated

import msgspec
import typer

from sarathictl.client.control import ControlClient
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.state.retuning import describe_change
from sarathid.protocol.control import Retuned, SetPolicy


def set_policy(
    context: typer.Context,
    policy: Annotated[str, typer.Argument(metavar="NAME", help="stall-free or prefill-first.")],
    json: JsonOption = False,
) -> None:
    """Change the scheduling policy, at once."""
    invocation = invocation_of(context, is_json=json)
    with ControlClient(invocation.endpoint.control, invocation.timeout_s) as client:
        retuned = client.request(SetPolicy(policy=policy), Retuned)
    invocation.answer(msgspec.to_builtins(retuned), describe_change(retuned))
