"""`sarathictl why [ID]`."""

import shutil
import sys
from typing import Annotated

import msgspec
import typer

from sarathictl.candidates import request_ids
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.state.facts import Fact, as_text, lay_out
from sarathictl.state.why_budget import explain_budget
from sarathictl.state.why_request import explain_request
from sarathid.protocol.control import ExplainBudget, ExplainRequest
from sarathid.protocol.why import BudgetReasons, RequestReasons


def why(
    context: typer.Context,
    request_id: Annotated[
        int | None,
        typer.Argument(
            metavar="[ID]",
            help="A request, as `sarathictl requests` shows it [the budget].",
            autocompletion=request_ids,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say why the budget is what it is, or why a request waits or stalled."""
    invocation = invocation_of(context, is_json=json)
    with invocation.connect() as client:
        if request_id is None:
            budget = client.request(ExplainBudget(), BudgetReasons)
            invocation.answer(msgspec.to_builtins(budget), _for_terminal(explain_budget(budget)))
        else:
            request = client.request(ExplainRequest(request_id=request_id), RequestReasons)
            invocation.answer(msgspec.to_builtins(request), _for_terminal(explain_request(request)))


def _for_terminal(facts: list[Fact]) -> str:
    """Return the facts as text, in lines that fit where somebody reads them."""
    return as_text(lay_out(facts, shutil.get_terminal_size().columns) if sys.stdout.isatty() else facts)
