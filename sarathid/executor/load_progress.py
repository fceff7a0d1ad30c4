"""Says how far a model that takes long to load has come."""

import sys
import time
from collections.abc import Callable

_INTERVAL_S = 5.0


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")


class LoadProgress:
    """Adds up the bytes that are loaded, and says a sentence every five seconds."""

    def __init__(
        self,
        name: str,
        num_total_bytes: int,
        announce: Callable[[str], None] = _say,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._num_total_bytes = num_total_bytes
        self._announce = announce
        self._now_s = now_s
        self._num_bytes = 0
        self._said_at_s = now_s()

    def __call__(self, num_bytes: int) -> None:
        """Take note of `num_bytes` more."""
        self._num_bytes += num_bytes
        if self._now_s() - self._said_at_s < _INTERVAL_S:
            return
        self._said_at_s = self._now_s()
        gib, total_gib = self._num_bytes / 2**30, self._num_total_bytes / 2**30
        self._announce(f"loading {self._name}: {gib:.1f} of {total_gib:.1f} GiB")
