"""`sarathictl set-budget N | auto | profiled`."""

from typing import Annotated

import typer

from sarathictl.commands.change import retunes
from sarathictl.state.retuning import read_budget_choice
from sarathid.protocol.control import SetBudget


@retunes
def set_budget(
    budget: Annotated[
        str,
        typer.Argument(
            metavar="N|auto|profiled",
            help="Tokens an iteration, decodes and prefill together; auto: as the targets allow each of them; "
            "profiled: what the cost profile allows at the heaviest load.",
        ),
    ],
) -> SetBudget:
    """Change the token budget of an iteration, at once."""
    return SetBudget(budget=read_budget_choice(budget))
