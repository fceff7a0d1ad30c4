"""`sarathictl set-budget N`."""

from typing import Annotated

import msgspec
import typer

from sarathictl.client.control import ControlClient
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.state.retuning import describe_change
from sarathid.protocol.control import Retuned, SetBudget


def set_budget(
    context: typer.Context,
    num_tokens: Annotated[int, typer.Argument(metavar="N", help="Tokens an iteration, decodes and prefill together.")],
    json: JsonOption = False,
) -> None:
    """Change the token budget of an iteration, at once."""
    invocation = invocation_of(context, is_json=json)
    with ControlClient(invocation.endpoint.control, invocation.timeout_s) as client:
        retuned = client.request(SetBudget(num_tokens=num_tokens), Retuned)
    invocation.answer(msgspec.to_builtins(retuned), describe_change(retuned))
