"""An iteration's allowance in predicted seconds instead of tokens."""

import math

from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.costmodel.forecast import PipelineForecast
from sarathid.costmodel.predictor import CostModel
from sarathid.protocol.stats import BudgetBound
from sarathid.scheduler.decode_load import DecodeLoad
from sarathid.scheduler.sequence import Sequence

_LEAST_TILE = 8
_NOTHING = IterationFeatures(num_decodes=0, decode_context=0)
_ONE_DECODE = IterationFeatures(num_decodes=1, decode_context=1)
_MOST_TOKENS_AHEAD = 1024
_URGENT_SHARE = 0.5
_MOST_LINES_TRIED = 4
_LONGEST_ALONE_S = 5.0


class TimeBudget:
    """Grants as many prefill tokens as fit, by prediction, into what the decodes of this very batch leave.

    `target_s` bounds the time from the last token of each decode to its next; `now_s` is when the batch is put
    together. A decode that is late already, whatever runs beside it, no longer counts. In the pipeline of `forecast`
    that bounds batches without decodes too, since decodes of other batches wait behind them. Elsewhere those get what
    is predicted to take 5 s, so that who comes meanwhile, or is cancelled, need not wait for a whole long prompt.

    Where the target allows more, a batch gets `useful_tokens`, decodes included, so that in a pipeline all are even and
    no stage waits for another. A prompt that has waited for half of `ttft_s`, the target for its first token, gets all
    that the target allows.

    Where the decodes leave nothing, `floor_tokens` run all the same. Totals are rounded down to a multiple of `tile`,
    and of eight tokens in any case. `start_tokens` is a guess of the first chunk, which saves predictions if it is
    near.

    A request does not start where it would make the decodes alone miss the target, if there is a `holds_back_for_s`:
    the whole target, without the headroom. Where not even one decode meets that, nobody is held back in vain.
    """

    __slots__ = (
        "_cost_model",
        "_efficient_s",
        "_floor_tokens",
        "_forecast",
        "_holds_back_for_s",
        "_max_tokens",
        "_now_s",
        "_spent_s",
        "_start_tokens",
        "_tile",
        "_ttft_s",
        "_useful_tokens",
        "bound",
        "decode_s",
        "features",
        "is_spent",
        "limit_s",
        "num_tokens",
        "target_s",
    )

    def __init__(
        self,
        cost_model: CostModel,
        forecast: PipelineForecast,
        *,
        target_s: float,
        now_s: float,
        max_tokens: int,
        floor_tokens: int,
        tile: int = 1,
        start_tokens: int = 0,
        useful_tokens: int | None = None,
        ttft_s: float | None = None,
        holds_back_for_s: float | None = None,
    ) -> None:
        self._cost_model = cost_model
        self._forecast = forecast
        self.target_s = target_s
        self._now_s = now_s
        self._ttft_s = ttft_s
        self._max_tokens = max_tokens
        self._useful_tokens = max_tokens if useful_tokens is None else min(useful_tokens, max_tokens)
        self._floor_tokens = floor_tokens
        self._tile = tile if tile > _LEAST_TILE else _LEAST_TILE
        self._start_tokens = start_tokens
        self._holds_back_for_s = holds_back_for_s
        self.features = _NOTHING
        self.decode_s = self._spent_s = 0.0
        self.limit_s = forecast.most_work_s(now_s, target_s) if forecast.num_stages > 1 else math.inf
        self.num_tokens = 0
        self.bound = BudgetBound.DEMAND
        self.is_spent = False

    def charge_decodes(self, decodes: DecodeLoad) -> None:
        """Take in the decodes of the iteration: their load, and how long each may still wait."""
        num_decodes, context, _ = decodes
        if not num_decodes:
            return
        self.num_tokens = num_decodes
        self.features = IterationFeatures(num_decodes, context)
        self.decode_s = self._spent_s = self._seconds(self.features)
        self.limit_s = self._forecast.most_work_s(self._now_s, self._tightest_slack_s(decodes))

    def spare_decodes(self, decodes: DecodeLoad) -> None:
        """Take in the decodes of the next iteration, which wait for this one."""
        if not decodes.num_decodes:
            return
        self.decode_s = self._seconds(IterationFeatures(decodes.num_decodes, decodes.context))
        self.limit_s = max(0.0, self._tightest_slack_s(decodes) - self.decode_s)

    def take(self, sequence: Sequence, num_wanted: int) -> int:
        """Return how many of `num_wanted` prompt tokens fit, and count them."""
        if not sequence.is_started and self._must_wait(sequence):
            return self._end(BudgetBound.HOLD)
        if self._is_urgent(sequence):
            self._useful_tokens = self._max_tokens
        num_possible = min(num_wanted, self._useful_tokens - self.num_tokens)
        if num_possible < self._floor_tokens and not self.features.chunks:
            num_possible = min(num_wanted, self._floor_tokens, self._max_tokens - self.num_tokens)
        if num_possible <= 0:
            return self._end(self._tokens_bound)
        num_granted, features = self._most_that_fit(sequence.num_computed_tokens, num_possible)
        if num_granted < self._floor_tokens and not self.features.chunks:
            num_granted = min(num_possible, self._floor_tokens)
            features = self._with_chunk(num_granted, sequence.num_computed_tokens)
        if num_granted:
            self.features = features
            self.num_tokens += num_granted
            self._start_tokens = max(0, self._start_tokens - num_granted)
        if num_granted < num_wanted:
            self._end(self._what_binds(num_granted))
        return num_granted

    def _end(self, bound: BudgetBound) -> int:
        self.bound = bound
        self.is_spent = True
        return 0

    @property
    def _tokens_bound(self) -> BudgetBound:
        return BudgetBound.MOST if self._useful_tokens == self._max_tokens else BudgetBound.USE

    def _is_urgent(self, sequence: Sequence) -> bool:
        """Whether the reader of this prompt has waited for half of the target, and has nothing yet."""
        if self._ttft_s is None or sequence.num_output_tokens:
            return False
        return self._now_s - sequence.request.arrival_s >= _URGENT_SHARE * self._ttft_s

    def _tightest_slack_s(self, decodes: DecodeLoad) -> float:
        """Return the least time that a decode which can still be in time may take from now."""
        earliest_s, tightest_s = self._now_s + self.decode_s - self.target_s, self._now_s
        for last_s in decodes.last_tokens_s:
            if last_s is not None and earliest_s < last_s < tightest_s:
                tightest_s = last_s
        return self.target_s - self._now_s + tightest_s

    def _must_wait(self, sequence: Sequence) -> bool:
        held_for_s = self._holds_back_for_s
        return held_for_s is not None and self._would_overload(sequence) and self._seconds(_ONE_DECODE) <= held_for_s

    def _would_overload(self, sequence: Sequence) -> bool:
        """Whether the decodes would miss the target by themselves when this request has its answer."""
        now = self.features
        if now.num_sequences == 0:
            return False
        context = now.decode_context + sum([num_tokens + first for num_tokens, first in now.chunks])
        num_decodes = now.num_sequences + 1
        num_ahead = min(sequence.max_num_tokens - sequence.num_tokens, _MOST_TOKENS_AHEAD)
        context += sequence.num_tokens + num_decodes * num_ahead
        return self._seconds(IterationFeatures(num_decodes, context)) > self.target_s

    def _most_that_fit(self, first_position: int, num_possible: int) -> tuple[int, IterationFeatures]:
        """Return a chunk's length, whole or ending on a tile, that stays within the limit and leaves no tile's time.

        With it come the features of the iteration that has this chunk, or has none where not even a tile fits.

        Predicted time grows with the chunk, nearly in proportion. Begin where the last iteration ended, since little
        has changed, and go on where the line from here without the chunk to there meets the limit, until it leaves no
        tile to try; bisect if it bends too much.
        """
        limit_s, start_tokens = self.limit_s, self._start_tokens
        if limit_s == math.inf:
            limit_s, start_tokens = _LONGEST_ALONE_S, num_possible
        tile, filled = self._tile, self.num_tokens % self._tile
        low, high, num_tried = 0, -(-(num_possible + filled) // tile) + 1, 0
        num_fitting, fitting, fitting_s = 0, self.features, self._spent_s
        middle = min(max(1, (start_tokens + filled) // tile), high - 1)
        while True:
            num_tokens = min(num_possible, middle * tile - filled)
            features = self._with_chunk(num_tokens, first_position)
            seconds = self._seconds(features)
            if seconds <= limit_s:
                low, num_fitting, fitting, fitting_s = middle, num_tokens, features, seconds
            else:
                high = middle
            tile_s = (seconds - self._spent_s) * tile / num_tokens
            left_s, num_tried = limit_s - seconds, num_tried + 1
            if high - low == 1 or 0.0 <= left_s < tile_s:
                break
            is_line = num_tried < _MOST_LINES_TRIED and 0.0 < tile_s < math.inf
            wanted = middle + math.floor(left_s / tile_s) if is_line else (low + high) // 2
            middle = min(max(wanted, low + 1), high - 1)
        self._spent_s = fitting_s
        return num_fitting, fitting

    def _what_binds(self, num_granted: int) -> BudgetBound:
        if self.num_tokens >= self._useful_tokens:
            return self._tokens_bound
        if 0 < num_granted <= self._floor_tokens:
            return BudgetBound.FLOOR
        return BudgetBound.USE if self.limit_s == math.inf else BudgetBound.TARGET

    def _with_chunk(self, num_tokens: int, first_position: int) -> IterationFeatures:
        now = self.features
        return IterationFeatures(
            now.num_decodes, now.decode_context, (*now.chunks, ChunkShape(num_tokens, first_position))
        )

    def _seconds(self, features: IterationFeatures) -> float:
        seconds = self._cost_model.predict(features)
        return math.inf if seconds is None else seconds
