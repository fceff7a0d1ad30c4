"""Ties a process to the one that started it, and tells that one how it ended."""

import os
import select
import signal
import sys

from sarathid.bound_process import die_with


def live_and_die_with_the_parent() -> None:
    """Leave ^C to the parent, whose is the other end of standard input, and be killed by the kernel when it dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(os.getppid())
    if _is_hung_up(sys.stdin.fileno()):  # it died before, while this process loaded its modules
        sys.exit(128 + signal.SIGKILL)


def _is_hung_up(pipe: int) -> bool:
    poller = select.poll()
    poller.register(pipe, 0)  # a hang-up is told in any case, also behind what is still to be read
    return bool(poller.poll(0))


def how_it_ended(status: int) -> str:
    """Return what became of a process, of its exit status as Python tells it."""
    if status < 0:
        names = {known.value: known.name for known in signal.Signals}  # most real-time signals have none
        return f"was killed by {names.get(-status, f'signal {-status}')}"
    return f"ended with status {status}"
