"""`sarathictl completion bash|zsh|fish`."""

from enum import StrEnum
from typing import Annotated

import typer

from sarathictl.shell_completion import script_for


class Shell(StrEnum):
    """The shells that complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(context: typer.Context, shell: Annotated[Shell, typer.Argument(help="Whose script is wanted.")]) -> None:
    """Print what has bash, zsh or fish complete the command line.

    Commands, options, names of daemons and ids of requests are completed. For bash, write `source <(sarathictl
    completion bash)` in ~/.bashrc, for zsh the like in ~/.zshrc, behind `compinit`; for fish, print to
    ~/.config/fish/completions/sarathictl.fish.
    """
    script_for(context.find_root().command, shell)
