"""Who waits to run: in order of arrival, so that a preempted request comes before any newer one."""

from bisect import insort
from collections.abc import Iterator

from sarathid.scheduler.sequence import Sequence


class WaitingQueue:
    """Sequences by arrival, oldest first; `num_preempted` counts those that have run before."""

    def __init__(self) -> None:
        self._sequences: list[Sequence] = []
        self.num_preempted = 0

    def __len__(self) -> int:
        return len(self._sequences)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._sequences)

    @property
    def head(self) -> Sequence | None:
        return self._sequences[0] if self._sequences else None

    def add(self, sequence: Sequence) -> None:
        insort(self._sequences, sequence, key=lambda waiting: waiting.order)
        self.num_preempted += sequence.num_preemptions > 0

    def pop(self) -> Sequence:
        """Remove and return the oldest."""
        oldest = self._sequences[0]
        self.remove(oldest)
        return oldest

    def remove(self, sequence: Sequence) -> None:
        self._sequences.remove(sequence)
        self.num_preempted -= sequence.num_preemptions > 0
