"""Who waits to run, the most urgent first."""

from bisect import insort
from collections.abc import Iterator

from sarathid.scheduler.prefill_order import Urgency, by_arrival
from sarathid.scheduler.sequence import Sequence


class WaitingQueue:
    """Sequences by urgency, which stays the same while they wait; `num_preempted` counts those that have run before."""

    def __init__(self, urgency: Urgency = by_arrival) -> None:
        self._urgency = urgency
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
        insort(self._sequences, sequence, key=self._urgency)
        self.num_preempted += sequence.num_preemptions > 0

    def pop(self) -> Sequence:
        """Remove and return the most urgent."""
        first = self._sequences[0]
        self.remove(first)
        return first

    def remove(self, sequence: Sequence) -> None:
        self._sequences.remove(sequence)
        self.num_preempted -= sequence.num_preemptions > 0
