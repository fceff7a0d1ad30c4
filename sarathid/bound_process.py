"""A process that ends with the one that started it, however that ends."""

import ctypes
import os
import signal
import sys
from collections.abc import MutableMapping

VARIABLE = "SARATHID_BOUND_TO"
_PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int) -> None:
    """Have the kernel kill this process when `parent_pid`, its parent, dies; end it now if that has happened."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        sys.exit(128 + signal.SIGKILL)


def die_if_bound(environment: MutableMapping[str, str]) -> None:
    """Do so if whoever started this process asked for it by `VARIABLE`, which children do not inherit."""
    if (parent_pid := environment.pop(VARIABLE, "")).isdecimal():
        die_with(int(parent_pid))
