"""The token budget that Sarathi-Serve's section 4.3 derives: one number, from a profile, for the heaviest load."""

from dataclasses import dataclass

from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.costmodel.predictor import CostModel


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstCase:
    """The heaviest iteration there can be: so many decodes with so much context, and the end of the longest prompt."""

    num_decodes: int
    decode_context: int
    max_model_len: int

    def features(self, token_budget: int) -> IterationFeatures:
        """Return that iteration under a budget, which decodes and chunk share."""
        num_prefill_tokens = min(token_budget - self.num_decodes, self.max_model_len)
        if num_prefill_tokens <= 0:
            return IterationFeatures(self.num_decodes, self.decode_context)
        chunk = ChunkShape(num_prefill_tokens, self.max_model_len - num_prefill_tokens)
        return IterationFeatures(self.num_decodes, self.decode_context, (chunk,))


def profiled_budget(
    cost_model: CostModel, worst_case: WorstCase, target_s: float, *, tile: int, min_tokens: int, max_tokens: int
) -> int | None:
    """Return the largest budget of whole tiles whose predicted worst case takes at most `target_s`.

    It is `min_tokens` where not even that holds, and None while nothing can be predicted.
    """
    if cost_model.predict(worst_case.features(min_tokens)) is None:
        return None

    def holds(num_tiles: int) -> bool:
        seconds = cost_model.predict(worst_case.features(num_tiles * tile))
        return seconds is not None and seconds <= target_s

    low, high = min_tokens // tile, max_tokens // tile
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return max(min_tokens, low * tile)
