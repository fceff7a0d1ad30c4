"""`sarathictl set-budget N | auto | profiled`."""

from typing import Annotated

import msgspec
import typer

from sarathictl.client.control import ControlClient
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.state.retuning import describe_change
from sarathid.errors import ConfigError
from sarathid.protocol.control import Retuned, SetBudget
from sarathid.protocol.slo import read_budget


def set_budget(
    context: typer.Context,
    budget: Annotated[
        str,
        typer.Argument(
            metavar="N|auto|profiled",
            help="Tokens an iteration, decodes and prefill together; auto: as the targets allow each of them; "
            "profiled: what the cost profile allows at the heaviest load.",
        ),
    ],
    json: JsonOption = False,
) -> None:
    """Change the token budget of an iteration, at once."""
    invocation = invocation_of(context, is_json=json)
    try:
        choice = read_budget(budget)
    except ValueError as error:
        raise ConfigError(f"{budget!r} is not a budget; {error}") from None
    with ControlClient(invocation.endpoint.control, invocation.timeout_s) as client:
        retuned = client.request(SetBudget(budget=choice), Retuned)
    invocation.answer(msgspec.to_builtins(retuned), describe_change(retuned))
