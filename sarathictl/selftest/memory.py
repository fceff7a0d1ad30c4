"""How much memory a process holds, and whether that grows."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from sarathictl.selftest.check import Check

MOST_GROWTH = 0.05
_FEWEST_SAMPLES = 8


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process of this machine."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Growth:
    """A straight line through the last half of some samples, taken at even distances.

    `share` is what it rises over that half, of its mean; `error` one standard error of that.
    """

    share: float
    error: float

    @property
    def is_flat(self) -> bool:
        """Whether it is within noise of no rise, two standard errors, or small whatever the noise."""
        return self.share <= max(2.0 * self.error, 0.01) and self.share <= MOST_GROWTH


def growth_of(samples: list[int]) -> Growth | None:
    """Return how `samples` grow; None for too few to tell."""
    half = samples[len(samples) // 2 :]
    if len(half) < _FEWEST_SAMPLES:
        return None
    count, mean = len(half), math.fsum(half) / len(half)
    middle = (count - 1) / 2
    spread = math.fsum((index - middle) ** 2 for index in range(count))
    slope = math.fsum((index - middle) * (value - mean) for index, value in enumerate(half)) / spread
    squares = math.fsum((value - mean - slope * (index - middle)) ** 2 for index, value in enumerate(half))
    error = math.sqrt(squares / (count - 2) / spread)
    return Growth(slope * (count - 1) / mean, error * (count - 1) / mean)


def flat(samples: list[int]) -> Check:
    """Return the check that a daemon's memory does not grow."""
    growth = growth_of(samples)
    what = "the daemon's resident memory over the last half"
    if growth is None:
        return Check(what, "too few samples to tell")
    mean_mib = sum(samples) / len(samples) / (1 << 20)
    found = f"{growth.share:+.2%} of {mean_mib:.0f} MiB (standard error {growth.error:.2%})"
    return Check(what, found, growth.is_flat)
