"""`sarathictl man [COMMAND]`: the manual, made from the same words as every `--help`."""

import shutil
import subprocess
import sys
from typing import Annotated

import typer

from sarathictl.invocation import invocation_of
from sarathictl.manual import manual_of
from sarathictl.output import print_data


def man(
    context: typer.Context,
    command: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND]...", help="One alone: `man top`.")] = None,
) -> None:
    """Show the manual of this program, or of one command.

    Where nobody reads along, its source for `man -l` and for packages is printed.
    """
    invocation = invocation_of(context)
    page = manual_of(context.find_root().command, command or ())
    program = shutil.which("man")
    if program is None or not sys.stdout.isatty():
        print_data(page)
    elif subprocess.run([program, "-l", "-"], input=page, text=True).returncode:
        invocation.say("`man` did not show it; `sarathictl man | less` has its source")
