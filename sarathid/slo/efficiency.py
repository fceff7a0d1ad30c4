"""Tells from how long on an iteration gains nothing by being longer."""

import math
from collections.abc import Sequence

from sarathid.costmodel.correction import CorrectedCostModel
from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.protocol.stats import ChunkStats

_SIZES = (128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072)
_ENOUGH = 0.95
_HOPE = 0.2
_NUM_TO_KNOW = 32
_GAIN = 1.0 / 64.0
_NUM_ITERATIONS_BETWEEN_LOOKS = 64
_ONE_DECODE = IterationFeatures(num_decodes=1, decode_context=1)


class Efficiency:
    """Keeps `num_tokens`: of the smallest iteration that does almost as much for its time as any, decodes included.

    What an iteration does is counted in the seconds that its tokens take beside many others: prompt tokens as in the
    largest chunk, the usual decodes as what they add to the first of them. A device may be better at some sizes than
    its profile says; a size that was hardly tried yet counts for up to a fifth more than is predicted of it, so that
    it is tried, and its correction tells.
    """

    def __init__(self, cost_model: CorrectedCostModel, max_tokens: int) -> None:
        self._cost_model = cost_model
        self._sizes = tuple([size for size in _SIZES if size <= max_tokens]) or (max_tokens,)
        self._num_decodes = 0.0
        self._decode_context = 0.0
        self._first_position = 0.0
        self._num_seen = 0
        self.num_tokens = self._sizes[-1]

    def observe(self, decodes: IterationFeatures, chunks: Sequence[ChunkStats], most_s: float) -> None:
        """Take note of what an iteration did; none may take more than `most_s`."""
        self._num_decodes += _GAIN * (decodes.num_decodes - self._num_decodes)
        self._decode_context += _GAIN * (decodes.decode_context - self._decode_context)
        for chunk in chunks[:1]:
            self._first_position += _GAIN * (chunk.start - self._first_position)
        if self._num_seen % _NUM_ITERATIONS_BETWEEN_LOOKS == 0:
            self.num_tokens = self._smallest(most_s)
        self._num_seen += 1

    def _smallest(self, most_s: float) -> int:
        num_decodes = max(1, round(self._num_decodes))
        decodes = IterationFeatures(num_decodes, max(num_decodes, round(self._decode_context)))
        largest_s = self._seconds(IterationFeatures(0, 0, self._chunk(self._sizes[-1])))
        decode_work_s = self._seconds(decodes) - self._seconds(_ONE_DECODE)
        if not math.isfinite(largest_s + decode_work_s):
            return self._sizes[-1]
        rates: dict[int, float] = {}
        for size in self._sizes:
            if (num_prefill_tokens := size - num_decodes) > 0:
                features = IterationFeatures(num_decodes, decodes.decode_context, self._chunk(num_prefill_tokens))
                work_s = decode_work_s + largest_s * num_prefill_tokens / self._sizes[-1]
                seconds = self._seconds(features)
                if seconds <= most_s:
                    rates[size] = self._hope(features) * work_s / seconds
        enough = _ENOUGH * max(rates.values(), default=0.0)
        return min([size for size, rate in rates.items() if rate >= enough], default=self._sizes[-1])

    def _hope(self, features: IterationFeatures) -> float:
        return 1.0 + _HOPE * max(0.0, 1.0 - self._cost_model.num_seen(features) / _NUM_TO_KNOW)

    def _seconds(self, features: IterationFeatures) -> float:
        seconds = self._cost_model.predict(features)
        return math.inf if seconds is None else seconds

    def _chunk(self, num_tokens: int) -> tuple[ChunkShape, ...]:
        return (ChunkShape(num_tokens, round(self._first_position)),)
