"""What a check found, as rows of a table; what could not be checked is never among what passed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

_WIDTH = 52  # of what was looked at; longer ones push the rest to the right


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "FAILED"
    MEASURED = "measured"
    NOT_AVAILABLE = "not available"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was looked at, and in words what came of it."""

    what: str
    verdict: Verdict
    words: str

    def __str__(self) -> str:
        return f"{self.what:<{_WIDTH}}  {self.verdict:<13}  {self.words}".rstrip()


def counts(rows: Sequence[Row]) -> str:
    """Return how many rows have each verdict."""
    return ", ".join(f"{sum(row.verdict is verdict for row in rows)} {verdict}" for verdict in Verdict)


def worst_code(codes: Iterable[int]) -> int:
    """Return the exit code of several checks together; any other than ours is that of one that broke off."""
    known = {code if code in (0, 1, 2) else 1 for code in codes}
    return next(code for code in (1, 2, 0) if code in known)


def exit_code(rows: Sequence[Row]) -> int:
    """Return 1 if anything failed, else 2 if anything could not be checked, else 0."""
    verdicts = {row.verdict for row in rows}
    if Verdict.FAILED in verdicts:
        return 1
    return 2 if Verdict.NOT_AVAILABLE in verdicts else 0
