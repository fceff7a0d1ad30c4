"""`sarathictl set-policy NAME`."""

from typing import Annotated

import typer

from sarathictl.commands.change import retunes
from sarathid.protocol.control import SetPolicy


@retunes
def set_policy(
    policy: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="stall-free, prefill-first, mixed-whole, request-level, chunked-only or hybrid-only.",
        ),
    ],
) -> SetPolicy:
    """Change the scheduling policy, at once."""
    return SetPolicy(policy=policy)
