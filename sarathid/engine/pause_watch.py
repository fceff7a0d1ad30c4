"""Notes when a child process is stopped and goes on, as the kernel tells its parent."""

import os
import threading
import time

from sarathid.telemetry.pauses import Pauses


def watch_pauses(pid: int, pauses: Pauses) -> threading.Thread:
    """Start a thread that notes in `pauses` when a child is stopped, by SIGSTOP or a debugger say, until it is gone."""
    thread = threading.Thread(target=_watch, args=(pid, pauses), name="pause-watch", daemon=True)
    thread.start()
    return thread


def _watch(pid: int, pauses: Pauses) -> None:
    """Wait for the one change of state after the other; how the child ends is left to who waits for that."""
    while (change := _next_change(pid)) is not None:
        if change == os.CLD_STOPPED:
            pauses.begin(time.monotonic())
        else:
            pauses.end(time.monotonic())
    pauses.end(time.monotonic())


def _next_change(pid: int) -> int | None:
    """Return what happened to a child next, None once it is gone."""
    try:
        found = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WCONTINUED)
    except ChildProcessError:
        return None
    return None if found is None else found.si_code
