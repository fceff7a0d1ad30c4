"""Whom an engine waits for is told when it has waited for long, and again when that changes."""

from collections.abc import Sequence

from sarathid.clock import VirtualClock
from sarathid.executor.rank_watch import LATE_AFTER_S, RankWatch


class Watched:
    """A watch over four ranks, and what it told."""

    def __init__(self) -> None:
        self.clock = VirtualClock(100.0)
        self.told: list[str] = []
        self.watch = RankWatch(4, _names, self.clock, self.told.append)
        self.watch.begin()

    def pass_s(self, seconds: float, *signs_of: int, awaited: Sequence[int] = (0, 1)) -> None:
        """Let time pass, at the end of which some ranks give a sign of life."""
        self.clock.advance(seconds)
        for rank in signs_of:
            self.watch.heard(rank)
        self.watch.look(awaited)


def _names(ranks: Sequence[int]) -> str:
    return " and ".join(map(str, ranks))


def test_a_rank_that_is_silent_is_told_once_and_not_those_that_wait_for_it() -> None:
    watched = Watched()
    for _ in range(4):
        watched.pass_s(1.0, 0, 2, 3)
    assert watched.told == ["1, silent"]


def test_a_rank_that_lives_is_told_where_none_is_silent() -> None:
    watched = Watched()
    for _ in range(4):
        watched.pass_s(1.0, 0, 1, 2, 3)
    assert watched.told == ["0 and 1, alive and not done"]


def test_what_changes_is_told_again() -> None:
    watched = Watched()
    watched.pass_s(LATE_AFTER_S, 0, 1, 2)
    watched.pass_s(0.1, 3, awaited=(2, 3))
    watched.pass_s(LATE_AFTER_S, 0, 3)
    assert watched.told == ["3, silent", "2 and 3, alive and not done", "1 and 2, silent"]


def test_nothing_is_told_of_a_time_in_which_nobody_waited() -> None:
    watched = Watched()
    watched.clock.advance(1000.0)
    watched.watch.begin()
    watched.pass_s(LATE_AFTER_S - 0.1)
    assert not watched.told
    watched.watch.begin()
    watched.pass_s(LATE_AFTER_S - 0.1)
    assert not watched.told
