"""Seconds by cause."""

from collections import defaultdict
from typing import TypeAlias

from sarathid.protocol.stats import StallCause

Parts: TypeAlias = defaultdict[StallCause, float]


def add(parts: Parts, more: dict[StallCause, float]) -> None:
    """Add to each cause what `more` has of it."""
    for cause, seconds in more.items():
        parts[cause] += seconds


def main_cause(parts: dict[StallCause, float]) -> StallCause:
    """Return the cause of most of the time."""
    return max(parts, key=lambda cause: parts[cause])
