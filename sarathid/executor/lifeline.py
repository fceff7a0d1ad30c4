"""Ties a process to the one that started it, and tells that one how it ended."""

import os
import signal

from sarathid.bound_process import die_with


def live_and_die_with_the_parent() -> None:
    """Leave ^C to the parent, and be killed by the kernel when it dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(os.getppid())  # had it died before, standard input would be at its end


def how_it_ended(status: int) -> str:
    """Return what became of a process, of its exit status as Python tells it."""
    if status < 0:
        names = {known.value: known.name for known in signal.Signals}  # most real-time signals have none
        return f"was killed by {names.get(-status, f'signal {-status}')}"
    return f"ended with status {status}"
