"""What a self-test found: figures, and what must hold with whether it does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `is_right` is None for a figure that is right whatever it is."""

    what: str
    found: str
    is_right: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestReport:
    """All that one self-test found; the same `seed` draws the same again."""

    seed: int
    checks: Sequence[Check]

    @property
    def is_right(self) -> bool:
        """Whether all that must hold does."""
        return all(check.is_right is not False for check in self.checks)


def all_of(what: str, num_right: int, num_all: int) -> Check:
    """Return the check that something holds each time."""
    return Check(what, f"{num_right:,} of {num_all:,}", num_right == num_all)


def none_of(what: str, found: Iterable[str]) -> Check:
    """Return the check that nothing was found; the first few that were are told."""
    kinds = list(dict.fromkeys(found))
    return Check(what, "none" if not kinds else "; ".join(kinds[:5]), not kinds)


def describe(report: SelfTestReport) -> str:
    """Return the report as lines: `ok`, `FAILED`, or a blank before a figure."""
    marks = {True: "ok", False: "FAILED", None: ""}
    return "\n".join(f"{marks[check.is_right]:<8}{check.what}: {check.found}" for check in report.checks)
