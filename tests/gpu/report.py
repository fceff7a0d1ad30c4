"""What a check found, as rows of a table; what could not be checked is never among what passed."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


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


def table(rows: Sequence[Row]) -> str:
    """Return the rows, aligned, with a last line that counts them."""
    width = max(len(row.what) for row in rows)
    lines = [f"{row.what:<{width}}  {row.verdict:<13}  {row.words}" for row in rows]
    counts = [f"{sum(row.verdict is verdict for row in rows)} {verdict}" for verdict in Verdict]
    return "\n".join([*lines, ", ".join(counts)])


def exit_code(rows: Sequence[Row]) -> int:
    """Return 1 if anything failed, else 2 if anything could not be checked, else 0."""
    verdicts = {row.verdict for row in rows}
    if Verdict.FAILED in verdicts:
        return 1
    return 2 if Verdict.NOT_AVAILABLE in verdicts else 0
