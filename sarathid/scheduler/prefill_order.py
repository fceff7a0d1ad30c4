"""Whose prompt is computed first, among those of one owner."""

from collections.abc import Callable
from typing import TypeAlias

from sarathid.protocol.requests import PrefillOrder
from sarathid.scheduler.sequence import Sequence

REQUESTS_PER_PRIORITY = 32
"""A step of priority weighs as much as so many requests of the same owner that came earlier."""

_TOKENS_PER_REQUEST_AHEAD = 64

Urgency: TypeAlias = Callable[[Sequence], int]


def by_arrival(sequence: Sequence) -> int:
    """Rank a sequence by its arrival and its priority; the least is the most urgent."""
    return sequence.place


def by_remaining(sequence: Sequence) -> int:
    """Rank a sequence by what is left of its prompt, and by its arrival and its priority.

    64 tokens weigh as much as one request that came earlier: with n tokens left, at most n / 64 newer ones go first.
    What was preempted has a reader that waits, and keeps its place.
    """
    if sequence.num_preemptions:
        return sequence.place
    return sequence.place + sequence.num_uncomputed_tokens // _TOKENS_PER_REQUEST_AHEAD


URGENCIES: dict[PrefillOrder, Urgency] = {
    PrefillOrder.ARRIVAL: by_arrival,
    PrefillOrder.SHORTEST_REMAINING: by_remaining,
}
