import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from sarathid.engine.starvation import Starvation

SPIN = "import os\nos.sched_setaffinity(0, {%d})\nprint(flush=True)\nwhile True: pass"
WATCHED_S = 1.0


@contextmanager
def spinning() -> Iterator[int]:
    """Give a process that computes on the first processor that we may use, and on no other."""
    cpu = min(os.sched_getaffinity(0))
    with subprocess.Popen([sys.executable, "-c", SPIN % cpu], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def watch(pid: int) -> tuple[float, float]:
    """Return for how long a process waited while we computed ourselves, and how long that was."""
    starvation, start_s = Starvation(pid), time.monotonic()
    while time.monotonic() - start_s < WATCHED_S:
        pass
    return starvation.waited_s(), time.monotonic() - start_s


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="this kernel does not count")
def test_who_shares_a_processor_with_others_waits_most_of_the_time() -> None:
    with ExitStack() as stack:
        (pid, *_others) = [stack.enter_context(spinning()) for _ in range(4)]
        waited_s, elapsed_s = watch(pid)

    assert 0.5 * elapsed_s < waited_s <= 1.1 * elapsed_s


def test_who_is_stopped_waits_for_no_processor() -> None:
    with spinning() as pid:
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        waited_s, _ = watch(pid)

    assert waited_s == 0.0


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    with spinning() as pid:
        starvation = Starvation(pid)

    assert starvation.waited_s() == 0.0
