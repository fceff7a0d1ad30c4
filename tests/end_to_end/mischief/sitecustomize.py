"""Loaded by each interpreter that has this directory in its path: does mischief at a signal, and writes down when.

With `$COLLECTS_AFTER` garbage of every age is collected each time that so many objects were made. SIGUSR1 collects
garbage over and over, SIGUSR2 sleeps, each for `MISCHIEF_S` and in the main thread. `$MISCHIEF` names the file whose
lines are `PID KIND BEGIN END`, in monotonic seconds.
"""

import gc
import os
import signal
import time
from collections.abc import Callable
from types import FrameType

MISCHIEF_S = 0.4
NUM_OBJECTS = 20_000


def collect_garbage() -> None:
    deadline_s = time.monotonic() + MISCHIEF_S
    objects = [[] for _ in range(NUM_OBJECTS)]  # type: ignore[var-annotated]
    while time.monotonic() < deadline_s:
        gc.collect()
    del objects


def sleep() -> None:
    time.sleep(MISCHIEF_S)


def noting(kind: str, mischief: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
    def act(number: int, frame: FrameType | None) -> None:
        begun_s = time.monotonic()
        mischief()
        with open(os.environ["MISCHIEF"], "a", encoding="ascii") as file:
            file.write(f"{os.getpid()} {kind} {begun_s} {time.monotonic()}\n")

    return act


if "COLLECTS_AFTER" in os.environ:
    gc.set_threshold(int(os.environ["COLLECTS_AFTER"]), 1, 1)
if "MISCHIEF" in os.environ:
    signal.signal(signal.SIGUSR1, noting("garbage", collect_garbage))
    signal.signal(signal.SIGUSR2, noting("sleep", sleep))
