"""A run of the hot paths as pytest-benchmark stored it."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

HISTORY = Path("tests/bench/history")
NUM_COMMIT_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Taken:
    """What the fastest and the middle round took, in seconds or, held against another run, as a multiple."""

    fastest: float
    median: float


@dataclass(frozen=True, slots=True)
class StoredRun:
    """The times of one run by hot path, and what it was measured with."""

    number: str
    commit: str
    is_dirty: bool
    machine: str
    taken: dict[str, Taken]

    @property
    def title(self) -> str:
        """The run as a person calls it: its number and its commit."""
        changed = " and what is not committed" if self.is_dirty else ""
        return f"{self.number} ({self.commit[:NUM_COMMIT_DIGITS]}{changed})"


def stored_runs(directory: Path = HISTORY) -> list[StoredRun]:
    """Return all runs in the order in which they were stored; `directory` has a folder for each Python version."""
    return [_read(path) for path in sorted(directory.glob("*/*.json"), key=lambda path: path.name)]


def _read(path: Path) -> StoredRun:
    found = msgspec.json.decode(path.read_bytes())
    machine = found["machine_info"]
    return StoredRun(
        number=path.name.partition("_")[0],
        commit=found["commit_info"]["id"],
        is_dirty=found["commit_info"]["dirty"],
        machine=f"{machine['cpu'].get('brand_raw', 'a processor without a name')}, Python {machine['python_version']}",
        taken={bench["name"]: Taken(bench["stats"]["min"], bench["stats"]["median"]) for bench in found["benchmarks"]},
    )
