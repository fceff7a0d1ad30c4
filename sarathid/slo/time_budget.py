"""An iteration's allowance in predicted seconds instead of tokens."""

import math

from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.costmodel.predictor import CostModel
from sarathid.scheduler.sequence import Sequence

_CLOSE_ENOUGH = 0.98
_MAX_NUM_TRIES = 6


class TimeBudget:
    """Grants as many prefill tokens as fit, by prediction, into what the decodes of this very batch leave.

    `target_s` bounds the time from the last token of each decode to its next; `now_s` is the moment at which the batch
    is put together. A decode that is late already, whatever runs beside it, no longer counts. Without decodes only
    `max_tokens` bounds the batch, unless `is_pipelined`: then those of other batches wait behind this one.
    Where the decodes leave nothing, `floor_tokens` run all the same. Totals are rounded down to a multiple of `tile`.
    """

    def __init__(
        self,
        cost_model: CostModel,
        *,
        target_s: float,
        now_s: float,
        max_tokens: int,
        floor_tokens: int,
        tile: int = 1,
        is_pipelined: bool = False,
    ) -> None:
        self._cost_model = cost_model
        self._target_s = target_s
        self._now_s = now_s
        self._max_tokens = max_tokens
        self._floor_tokens = floor_tokens
        self._tile = tile
        self._features = IterationFeatures(0, 0)
        self._num_tokens = 0
        self.limit_s = target_s if is_pipelined else math.inf
        self.predicted_s = 0.0
        self.is_spent = False

    def charge_decodes(self, sequences: list[Sequence]) -> None:
        """Take in the decodes of the iteration: their load, and how long each may still wait."""
        if not sequences:
            return
        context = sum([len(sequence.token_ids) for sequence in sequences])
        self._features = IterationFeatures(len(sequences), context)
        self._num_tokens = len(sequences)
        self.predicted_s = self._seconds(self._features)
        earliest_s = self._now_s + self.predicted_s - self._target_s
        waited_s = [last_s for sequence in sequences if (last_s := sequence.last_token_s) is not None]
        in_time = [last_s for last_s in waited_s if last_s > earliest_s]
        self.limit_s = self._target_s - (self._now_s - min(in_time, default=self._now_s))

    def take(self, sequence: Sequence, num_wanted: int) -> int:
        """Return how many of `num_wanted` prompt tokens fit, and count them."""
        num_possible = min(num_wanted, self._max_tokens - self._num_tokens)
        if num_possible <= 0:
            self.is_spent = True
            return 0
        num_granted = self._most_that_fit(sequence.num_computed_tokens, num_possible)
        if num_granted < self._floor_tokens and not self._features.chunks:
            num_granted = min(num_possible, self._floor_tokens)
        if num_granted:
            self._features = self._with_chunk(num_granted, sequence.num_computed_tokens)
            self._num_tokens += num_granted
            self.predicted_s = self._seconds(self._features)
        self.is_spent = num_granted < num_wanted or self.predicted_s >= _CLOSE_ENOUGH * self.limit_s
        return num_granted

    def _most_that_fit(self, first_position: int, num_possible: int) -> int:
        """Return the largest chunk, whole or ending on a tile, whose iteration stays within the limit.

        False position on the predicted time, which grows with the chunk; it ends when the time is nearly used up.
        """
        if self._seconds(self._with_chunk(num_possible, first_position)) <= self.limit_s:
            return num_possible
        low, low_s = 0, self.predicted_s
        high, high_s = num_possible, self._seconds(self._with_chunk(num_possible, first_position))
        for _ in range(_MAX_NUM_TRIES):
            if low_s >= _CLOSE_ENOUGH * self.limit_s or low_s >= high_s:
                break
            share = 0.5 if high_s == math.inf else (self.limit_s - low_s) / (high_s - low_s)
            middle = self._aligned(low + round(share * (high - low)))
            if middle <= low:
                middle = self._aligned(low + self._tile)
            if not low < middle < high:
                break
            middle_s = self._seconds(self._with_chunk(middle, first_position))
            if middle_s <= self.limit_s:
                low, low_s = middle, middle_s
            else:
                high, high_s = middle, middle_s
        return low

    def _aligned(self, num_tokens: int) -> int:
        total = (self._num_tokens + num_tokens) // self._tile * self._tile
        return max(0, total - self._num_tokens)

    def _with_chunk(self, num_tokens: int, first_position: int) -> IterationFeatures:
        now = self._features
        return IterationFeatures(
            now.num_decodes, now.decode_context, (*now.chunks, ChunkShape(num_tokens, first_position))
        )

    def _seconds(self, features: IterationFeatures) -> float:
        seconds = self._cost_model.predict(features)
        return math.inf if seconds is None else seconds
