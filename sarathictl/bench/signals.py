"""Signals that end a program the way an error does, so that what it started is stopped and what it changed put back."""

import signal
import sys
from typing import NoReturn


def unwind_on_signals() -> None:
    """Let SIGTERM and SIGHUP unwind the stack as ^C does, and end the process with 128 plus their number."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit)


def _exit(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)
