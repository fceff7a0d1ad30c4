"""What an iteration may still take: the seam between the scheduler and whoever sets the limit."""

from typing import Protocol

from sarathid.scheduler.decode_load import DecodeLoad
from sarathid.scheduler.sequence import Sequence


class TokenBudget(Protocol):
    """One iteration's allowance."""

    @property
    def is_spent(self) -> bool:
        """Whether no prompt token will be granted any more."""
        ...

    def charge_decodes(self, decodes: DecodeLoad) -> None:
        """Count the iteration's decodes, which are never refused; called once, before any `take`."""
        ...

    def spare_decodes(self, decodes: DecodeLoad) -> None:
        """Leave the time for decodes that sit this iteration out and are the next one by themselves."""
        ...

    def take(self, sequence: Sequence, num_wanted: int) -> int:
        """Return how many of `num_wanted` >= 1 prompt tokens of `sequence` may run, from 0 to all, and count them."""
        ...


class FixedBudget:
    """A number of tokens, decodes and prefill together (Sarathi-Serve, algorithm 3)."""

    def __init__(self, num_tokens: int) -> None:
        self._num_left = num_tokens

    @property
    def is_spent(self) -> bool:
        return self._num_left <= 0

    def charge_decodes(self, decodes: DecodeLoad) -> None:
        self._num_left -= decodes.num_decodes

    def spare_decodes(self, decodes: DecodeLoad) -> None:
        pass

    def take(self, sequence: Sequence, num_wanted: int) -> int:
        num_granted = max(0, min(num_wanted, self._num_left))
        self._num_left -= num_granted
        return num_granted


class WholePromptBudget:
    """Whole prompts or nothing, up to a number of prompt tokens; the first is granted however long it is."""

    def __init__(self, num_tokens: int) -> None:
        self._num_tokens = num_tokens
        self._num_taken = 0

    @property
    def is_spent(self) -> bool:
        return self._num_taken >= self._num_tokens

    def charge_decodes(self, decodes: DecodeLoad) -> None:
        pass

    def spare_decodes(self, decodes: DecodeLoad) -> None:
        pass

    def take(self, sequence: Sequence, num_wanted: int) -> int:
        if self._num_taken and self._num_taken + num_wanted > self._num_tokens:
            return 0
        self._num_taken += num_wanted
        return num_wanted
