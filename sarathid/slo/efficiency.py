"""Tells from how long on iterations gain nothing by being longer."""

import math
from collections.abc import Sequence

from sarathid.costmodel.correction import CorrectedCostModel
from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.protocol.stats import ChunkStats
from sarathid.slo.usual_load import UsualLoad

_SIZES = (128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072)
_ENOUGH = 0.98
_HOPE = 0.2
_NUM_TO_KNOW = 32
_NUM_ITERATIONS_BETWEEN_LOOKS = 32
_MOST_CHUNKS_LOST = 2.0


class Efficiency:
    """Keeps `num_tokens`, decodes included: of the iteration that gets most prompt tokens done a second, or almost.

    Of sizes that are almost as good a pipeline has the smallest, since its batches are to be even; two things count
    there beside a size's own time:

    - Decodes go on during an iteration with a prompt as they would without. Where the engine is full, nobody starts
      before some have ended, and so much of their time alone is not the prompt's; as long as prompts, in chunks of this
      size, leave iterations without one.
    - A run of chunks ends unevenly: on average half a chunk's time is lost in each of the other batches in flight,
      which wait for the last. The shorter runs are, the more smaller chunks are worth.

    Elsewhere it is the largest; where that is the largest that the target allows, the target alone is the limit.

    A device may be better at some sizes than its profile says; a size that was hardly tried yet counts for up to a
    fifth more than is predicted of it, so that it is tried, and its correction tells.
    """

    def __init__(self, cost_model: CorrectedCostModel, max_tokens: int, num_stages: int) -> None:
        self._cost_model = cost_model
        self._sizes = tuple([size for size in _SIZES if size <= max_tokens]) or (max_tokens,)
        self._max_tokens = max_tokens
        self._num_stages = num_stages
        self._usual = UsualLoad()
        self._num_seen = 0
        self.num_tokens = self._sizes[-1]

    def observe(self, decodes: IterationFeatures, chunks: Sequence[ChunkStats], most_s: float, fullness: float) -> None:
        """Take note of what an iteration did in an engine that is so full; none may take more than `most_s`."""
        self._usual.observe(decodes, chunks, fullness)
        if self._num_seen % _NUM_ITERATIONS_BETWEEN_LOOKS == 0:
            self.num_tokens = self._best(self._rates(most_s))
        self._num_seen += 1

    def _best(self, rates: dict[int, float]) -> int:
        enough = _ENOUGH * max(rates.values(), default=0.0)
        good = [size for size, rate in rates.items() if rate >= enough]
        if self._num_stages > 1:
            return min(good, default=self._sizes[-1])
        if not good:
            return self._max_tokens
        best = max(good)
        is_cut = best == max(rates) < self._sizes[-1]
        return self._max_tokens if is_cut and self._is_known(best) else best

    def _is_known(self, size: int) -> bool:
        """Whether iterations of that size were seen often enough to tell."""
        decodes = self._usual.decodes
        features = decodes._replace(chunks=(ChunkShape(max(1, size - decodes.num_decodes), 0),))
        return self._cost_model.num_seen(features) >= _NUM_TO_KNOW

    def _rates(self, most_s: float) -> dict[int, float]:
        """Return the prompt tokens a second of each size that takes at most `most_s`."""
        usual, decodes = self._usual, self._usual.decodes
        decode_s = self._seconds(decodes)
        rates: dict[int, float] = {}
        for size in self._sizes:
            if (num_prefill_tokens := size - decodes.num_decodes) <= 0:
                continue
            features = decodes._replace(chunks=(ChunkShape(num_prefill_tokens, usual.first_position),))
            seconds = self._seconds(features)
            if decode_s < seconds <= most_s and math.isfinite(seconds):
                cost_s = seconds if self._num_stages == 1 else self._cost_s(num_prefill_tokens, seconds, decode_s)
                rates[size] = self._hope(features) * num_prefill_tokens / cost_s
        return rates

    def _cost_s(self, num_prefill_tokens: int, seconds: float, decode_s: float) -> float:
        """Return what a chunk costs a pipeline in an iteration of these seconds, `decode_s` without it."""
        usual = self._usual
        without_prompt = max(0.0, 1.0 - usual.num_prefill_tokens / num_prefill_tokens)
        num_lost = min(_MOST_CHUNKS_LOST, num_prefill_tokens / usual.run_tokens) * (self._num_stages - 1) / 2.0
        return (1.0 + num_lost) * (seconds - usual.fullness * without_prompt * decode_s)

    def _hope(self, features: IterationFeatures) -> float:
        return 1.0 + _HOPE * max(0.0, 1.0 - self._cost_model.num_seen(features) / _NUM_TO_KNOW)

    def _seconds(self, features: IterationFeatures) -> float:
        seconds = self._cost_model.predict(features)
        return math.inf if seconds is None else seconds
