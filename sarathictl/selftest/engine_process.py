"""The engine's process, as chaos sees it: found among the daemon's children, killed, stopped."""

import os
import signal
from pathlib import Path

_ENGINE = b"sarathid.engine.process"


def engine_pids(daemon_pid: int) -> list[int]:
    """Return the engine processes among a daemon's children, those that only start included."""
    children = Path(f"/proc/{daemon_pid}/task/{daemon_pid}/children").read_text(encoding="ascii")
    return [pid for pid in map(int, children.split()) if _ENGINE in _command_line(pid)]


def send_signal(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to those of the processes that are still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
