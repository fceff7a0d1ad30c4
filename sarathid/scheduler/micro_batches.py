"""Shares the running decodes out over the batches that a pipeline has in flight."""

from collections.abc import Sequence as Sequences
from dataclasses import dataclass

from sarathid.scheduler.sequence import Sequence

_LEAST_EXCESS = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatches:
    """At most so many batches are in flight, and are to have decodes of the same predicted cost each.

    A decode costs its context and `tokens_per_decode` more, in tokens of context. Without that a stage waits for the
    batch that has got most of them, and one that began with all of them would keep them.
    """

    num_batches: int = 1
    tokens_per_decode: float = 512.0

    def share(self, running: Sequences[Sequence]) -> list[Sequence]:
        """Return those whose decodes are in the next batch: all that can run, or a fair share.

        Without a pipeline these are all of `running`, some of which may have no decode to run. Of a share, whoever
        waits longest comes first: those that are left out have waited longest when the next ones are shared.
        """
        if self.num_batches == 1:
            return list(running)
        ready = [sequence for sequence in running if sequence.is_decoding]
        if len(ready) < 2:
            return ready
        in_flight = [sequence for sequence in running if sequence.awaits_token]
        ready_cost = self._cost(ready)
        fair_cost = (ready_cost + self._cost(in_flight)) / self.num_batches
        if ready_cost <= _LEAST_EXCESS * fair_cost:
            return ready
        return self._first_worth(fair_cost, ready)

    def _first_worth(self, fair_cost: float, ready: list[Sequence]) -> list[Sequence]:
        """Return as many as come nearest to that cost, at least one, in the order of those given."""
        shared, cost = set[int](), 0.0
        for sequence in sorted(ready, key=_last_token_s):
            own_cost = self._cost((sequence,))
            if shared and cost + own_cost / 2.0 > fair_cost:
                break
            shared.add(sequence.request_id)
            cost += own_cost
        return [sequence for sequence in ready if sequence.request_id in shared]

    def _cost(self, sequences: Sequences[Sequence]) -> float:
        contexts = sum([sequence.num_computed_tokens for sequence in sequences])
        return self.tokens_per_decode * len(sequences) + contexts


def _last_token_s(sequence: Sequence) -> float:
    return sequence.last_token_s or 0.0
