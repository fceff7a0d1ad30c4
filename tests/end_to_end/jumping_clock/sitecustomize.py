"""Loaded by each interpreter that has this directory in its path: its wall clock jumps at a signal.

SIGUSR1 sets it back by a day, SIGUSR2 on by two; the monotonic clock does not jump, as in the kernel.
"""

import os
import signal
import sys
import time
from types import FrameType

DAY_S = 86_400.0

_kernels_time = time.time
_offset_s = 0.0


def _jump(number: int, _frame: FrameType | None) -> None:
    global _offset_s
    _offset_s += -DAY_S if number == signal.SIGUSR1 else 2.0 * DAY_S
    sys.stderr.write(f"the clock jumped: {_offset_s:+g} s\n")


if "CLOCK_JUMPS" in os.environ:
    time.time = lambda: _kernels_time() + _offset_s
    signal.signal(signal.SIGUSR1, _jump)
    signal.signal(signal.SIGUSR2, _jump)
