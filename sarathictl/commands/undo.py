"""`sarathictl undo [REV]`."""

from typing import Annotated

import typer

from sarathictl.commands.change import retunes
from sarathid.protocol.control import Undo


@retunes
def undo(
    revision: Annotated[
        int | None, typer.Argument(min=0, metavar="REV", help="As `history` shows it [the latest that was asked for].")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Undo another user's change too.")] = False,
) -> Undo:
    """Put back what a change replaced.

    That is a new revision; nothing disappears from the history. What was changed again since stays as it is.
    """
    return Undo(revision=revision, force=yes)
