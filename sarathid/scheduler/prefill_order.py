"""Whose prompt is computed first."""

from collections.abc import Callable
from typing import TypeAlias

from sarathid.protocol.requests import PrefillOrder
from sarathid.scheduler.sequence import Sequence

_TOKENS_PER_REQUEST_AHEAD = 64

Urgency: TypeAlias = Callable[[Sequence], int]


def by_arrival(sequence: Sequence) -> int:
    """Rank a sequence by its arrival; the least is the most urgent."""
    return sequence.order


def by_remaining(sequence: Sequence) -> int:
    """Rank a sequence by what is left of its prompt, and by its arrival.

    64 tokens weigh as much as one request that came earlier: with n tokens left, at most n / 64 newer ones go first.
    What was preempted has a reader that waits, and keeps its place.
    """
    if sequence.num_preemptions:
        return sequence.order
    return sequence.order + sequence.num_uncomputed_tokens // _TOKENS_PER_REQUEST_AHEAD


URGENCIES: dict[PrefillOrder, Urgency] = {
    PrefillOrder.ARRIVAL: by_arrival,
    PrefillOrder.SHORTEST_REMAINING: by_remaining,
}
