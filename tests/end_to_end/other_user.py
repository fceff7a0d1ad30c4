"""`sarathictl` as another user of this machine calls it, which only root can have done."""

import os
import subprocess
import sys
from pathlib import Path

from tests.end_to_end.running_daemon import RunningDaemon

NOBODY, GROUP = 65_534, 60_003


def ask_as(user_id: int, group_id: int, daemon: RunningDaemon, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Return how `sarathictl` ended for another user."""
    command = (sys.executable, "-m", "tests.end_to_end.stranger", str(user_id), str(group_id))
    return subprocess.run(
        [*command, os.fspath(daemon.runtime_dir), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
