"""Who waits to run: in order of arrival, so that a preempted request comes before any newer one."""

from bisect import insort
from collections.abc import Iterator

from sarathid.scheduler.sequence import Sequence


class WaitingQueue:
    """Sequences by arrival, oldest first."""

    def __init__(self) -> None:
        self._sequences: list[Sequence] = []

    def __len__(self) -> int:
        return len(self._sequences)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._sequences)

    @property
    def head(self) -> Sequence | None:
        return self._sequences[0] if self._sequences else None

    @property
    def num_preempted(self) -> int:
        return sum(sequence.num_preemptions > 0 for sequence in self._sequences)

    def add(self, sequence: Sequence) -> None:
        insort(self._sequences, sequence, key=lambda waiting: waiting.order)

    def pop(self) -> Sequence:
        """Remove and return the oldest."""
        return self._sequences.pop(0)

    def remove(self, sequence: Sequence) -> None:
        self._sequences.remove(sequence)
