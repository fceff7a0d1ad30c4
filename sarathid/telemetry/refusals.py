"""Requests that were refused for want of room."""

from collections import Counter

from sarathid.histogram import LatencyHistogram


class Refusals:
    """How many there were, by what there was no room in, and how long each took from its first byte to the reply."""

    def __init__(self) -> None:
        self.num_by_cause: Counter[str] = Counter()
        self.seconds = LatencyHistogram()

    def add(self, cause: str, seconds: float) -> None:
        """Count one."""
        self.num_by_cause[cause] += 1
        self.seconds.record(seconds)
