"""Whom of its ranks an engine waits for, by the signs of life that they give."""

from collections.abc import Callable, Sequence

from sarathid.clock import Clock

SIGN_EVERY_S = 1.0
LATE_AFTER_S = 2.5


class RankWatch:
    """Tells by `tell`, which is called again when that changes, whom an engine waits for longer than usual.

    Ranks wait for each other: where one says nothing, it is the one, whoever else is not done. `name` names some.
    """

    def __init__(
        self, num_ranks: int, name: Callable[[Sequence[int]], str], clock: Clock, tell: Callable[[str], None]
    ) -> None:
        self._name = name
        self._clock = clock
        self._tell = tell
        self._began_s = 0.0
        self._heard_s = [0.0] * num_ranks
        self._told = ""

    def begin(self) -> None:
        """Note that the engine waits from now on; before, it did not listen."""
        self._began_s = self._clock.now_s()
        self._heard_s = [self._began_s] * len(self._heard_s)
        self._told = ""

    def heard(self, rank: int) -> None:
        """Note that a rank said something."""
        self._heard_s[rank] = self._clock.now_s()

    def look(self, awaited: Sequence[int]) -> None:
        """Tell whom the engine waits for, if it has waited for long; what it waits for is to come from `awaited`."""
        latest_s = self._clock.now_s() - LATE_AFTER_S
        if self._began_s > latest_s:
            return
        silent = [rank for rank, heard_s in enumerate(self._heard_s) if heard_s <= latest_s]
        words = f"{self._name(silent)}, silent" if silent else f"{self._name(awaited)}, alive and not done"
        if words != self._told:
            self._told = words
            self._tell(words)
