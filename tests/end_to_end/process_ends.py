"""Sees processes that are nobody's children end."""

import os
import select
import time
from collections.abc import Iterable


class Ends:
    """The ends of some processes, from before they come.

    A process has ended when the kernel says so of its descriptor: whoever adopted it may leave its entry in the table
    of processes for seconds, and psutil takes that for life.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self.pids = tuple(pids)
        self._descriptors = {os.pidfd_open(pid): pid for pid in self.pids}

    def missing_after(self, timeout_s: float) -> list[int]:
        """Wait for all of them, so long at most, and return the pids of those that have not ended."""
        deadline_s = time.monotonic() + timeout_s
        while self._descriptors and (left_s := deadline_s - time.monotonic()) > 0:
            for descriptor in select.select(tuple(self._descriptors), (), (), left_s)[0]:
                del self._descriptors[descriptor]
                os.close(descriptor)
        return list(self._descriptors.values())
