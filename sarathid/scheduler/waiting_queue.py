"""Who waits to run: each owner's requests, the most urgent first, and whose turn it is."""

from bisect import insort
from collections.abc import Iterator

from sarathid.scheduler.fair_share import Account
from sarathid.scheduler.prefill_order import Urgency, by_arrival
from sarathid.scheduler.sequence import Sequence


class WaitingQueue:
    """Sequences by urgency, which stays the same while they wait, in a line for each owner.

    The head is the first in the line of the owner that was charged least, of equals that with the fewest requests; but
    one that has run before goes first where it heads its line. `num_preempted` counts those.
    """

    def __init__(self, urgency: Urgency = by_arrival) -> None:
        self._urgency = urgency
        self._lines: dict[Account, list[Sequence]] = {}
        self._last_to_leave: Account | None = None
        self._num_sequences = 0
        self.num_preempted = 0

    def __len__(self) -> int:
        return self._num_sequences

    def __iter__(self) -> Iterator[Sequence]:
        return (sequence for line in self._lines.values() for sequence in line)

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts of the owners who have somebody here."""
        return tuple(self._lines)

    @property
    def head(self) -> Sequence | None:
        """The next to start, None if nobody waits."""
        return min((line[0] for line in self._lines.values()), key=_turn, default=None)

    def add(self, sequence: Sequence) -> None:
        """Put a sequence into its owner's line."""
        line = self._lines.get(sequence.account)
        if line is None:
            if not sequence.num_preemptions:
                self._lift(sequence.account)
            line = self._lines[sequence.account] = []
        insort(line, sequence, key=self._urgency)
        self._num_sequences += 1
        self.num_preempted += sequence.num_preemptions > 0

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out of its line."""
        line = self._lines[sequence.account]
        line.remove(sequence)
        if not line:
            del self._lines[sequence.account]
            self._last_to_leave = sequence.account
        self._num_sequences -= 1
        self.num_preempted -= sequence.num_preemptions > 0

    def _lift(self, account: Account) -> None:
        """Have an owner that did not wait begin where those are who do, or where the last one was."""
        others = [other.num_charged for other in self._lines]
        if not others and self._last_to_leave is not None:
            others = [self._last_to_leave.num_charged]
        account.num_charged = max(account.num_charged, min(others, default=0))


def _turn(sequence: Sequence) -> tuple[bool, int, int, int]:
    account = sequence.account
    return not sequence.num_preemptions, account.num_charged, account.num_unfinished, sequence.order
