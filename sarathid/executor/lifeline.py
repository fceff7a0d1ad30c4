"""What ties a process of the engine to the one that started it."""

import os
import signal

from sarathid.bound_process import die_with


def live_and_die_with_the_parent() -> None:
    """Leave ^C to the daemon, and be killed by the kernel when the process that started this one dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(os.getppid())  # had it died before, standard input would be at its end
