"""Says how far something that takes long at the start has come."""

import sys
import time
from collections.abc import Callable

_INTERVAL_S = 5.0


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")


class Progress:
    """Adds up how much is done, and says what `sentence` makes of it every five seconds."""

    def __init__(
        self,
        sentence: Callable[[int], str],
        announce: Callable[[str], None] = _say,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sentence = sentence
        self._announce = announce
        self._now_s = now_s
        self._num_done = 0
        self._said_at_s = now_s()

    def __call__(self, num_more: int) -> None:
        """Take note of `num_more`: bytes, say."""
        self._num_done += num_more
        if self._now_s() - self._said_at_s < _INTERVAL_S:
            return
        self._said_at_s = self._now_s()
        self._announce(self._sentence(self._num_done))


def loading(name: str, num_total_bytes: int) -> Progress:
    """Return what is told of bytes of a model as they are loaded."""
    return Progress(lambda num_bytes: f"loading {name}: {num_bytes / 2**30:.1f} of {num_total_bytes / 2**30:.1f} GiB")
