"""How a shell completes: its script asks this program, with the words typed so far in its environment."""

import os
from typing import Any

VARIABLE = "_SARATHICTL_COMPLETE"
PROGRAM = "sarathictl"


def is_asked() -> bool:
    """Return whether a shell asks for candidates instead of running a command."""
    return VARIABLE in os.environ


def register_shells() -> None:
    """Make the shells known that Typer can complete for, which it does by itself only for an app with its options."""
    from typer.completion import get_completion_inspect_parameters  # deferred: few calls complete

    get_completion_inspect_parameters()


def script_for(program: Any, shell: str) -> None:
    """Print what `shell` sources to complete the command line of `program`."""
    from typer.completion import shell_complete  # deferred: few calls complete

    register_shells()
    shell_complete(program, {}, PROGRAM, VARIABLE, f"source_{shell}")
