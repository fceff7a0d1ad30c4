"""What the commands with `--watch` share: the same question again and again."""

import sys
import time
from collections.abc import Callable
from typing import Annotated, TypeAlias

import typer

from sarathictl.invocation import Invocation

WATCH_EVERY_S = 1.0
_CLEAR = "\x1b[H\x1b[2J"

WatchOption: TypeAlias = Annotated[
    bool, typer.Option("--watch", "-w", help="Ask again every second; with --json, one object a line.")
]


def watch(invocation: Invocation, answer: Callable[[], None], *, is_repeated: bool) -> None:
    """Print an answer once, or every second in the place of the one before, where there is a terminal to do so."""
    answer()
    while is_repeated:
        time.sleep(WATCH_EVERY_S)
        if sys.stdout.isatty() and not invocation.is_json:
            sys.stdout.write(_CLEAR)
        answer()
