"""Predicts an iteration's time from a cost profile."""

from bisect import bisect_right
from functools import lru_cache

from sarathid.costmodel.cost_profile import CostProfile, Knot
from sarathid.costmodel.features import ChunkShape, IterationFeatures

_S_PER_US = 1e-6
_NUM_TOKEN_COUNTS_KEPT = 1 << 16


class IterationCostModel:
    """The roofline of Sarathi-Serve's section 3.1 with a profile's figures, all times multiplied by `correction`.

    A stage of L layers takes `overhead + L * (linear + attention of chunks + attention of decodes +
    all-reduces) + send` (not on the last stage, which computes the output head instead).
    """

    def __init__(self, profile: CostProfile, correction: float = 1.0) -> None:
        self.profile = profile
        self._s_per_us = _S_PER_US * correction
        self.num_stages = profile.shape.pipeline_parallel
        self._num_stage_layers = profile.shape.num_stage_layers
        # What depends on the number of tokens alone; batches come in few sizes.
        self._dense_us = lru_cache(_NUM_TOKEN_COUNTS_KEPT)(self._dense_us_of)

    def predict(self, features: IterationFeatures) -> float:
        """Return the seconds from an iteration's start to its last token, through idle stages."""
        return sum(self.stage_seconds(features))

    def observe(self, features: IterationFeatures, seconds: float) -> None:
        """A profile is fixed: nothing is learned."""

    def stage_seconds(self, features: IterationFeatures) -> tuple[float, ...]:
        """Return the seconds that each stage of the pipeline works on an iteration."""
        num_tokens = features.num_decodes + features.num_prefill_tokens
        if num_tokens == 0:
            return (0.0,) * self.num_stages
        dense_us, send_us = self._dense_us(num_tokens)
        overhead = self.profile.overhead
        layers_us = dense_us + self._num_stage_layers * self._attention_us(features)
        every_us = overhead.fixed_us + overhead.us_per_sequence * features.num_sequences + layers_us
        last_s = (every_us + self._head_us(features.num_sequences)) * self._s_per_us
        return ((every_us + send_us) * self._s_per_us,) * (self.num_stages - 1) + (last_s,)

    def prefill_s(self, num_tokens: int, first_position: int = 0) -> float:
        """Return the seconds of an iteration that is one chunk behind `first_position` tokens."""
        return self.predict(IterationFeatures(0, 0, (ChunkShape(num_tokens, first_position),)))

    def _dense_us_of(self, num_tokens: int) -> tuple[float, float]:
        profile = self.profile
        num_bytes = num_tokens * profile.shape.hidden_bytes_per_token
        layer_us = linear_us(profile, num_tokens)
        if profile.all_reduce is not None:
            reduce = profile.all_reduce
            layer_us += reduce.num_per_layer * (interpolate(reduce.table, num_bytes) + reduce.launch_us)
        send_us = 0.0 if profile.send_recv is None else interpolate(profile.send_recv.table, num_bytes)
        return self._num_stage_layers * layer_us, send_us

    def _attention_us(self, features: IterationFeatures) -> float:
        us = 0.0
        if features.num_decodes:
            decode = self.profile.decode_attention
            us += decode.base_us + decode.us_per_context_token * features.decode_context
            us += decode.us_per_sequence * features.num_decodes
        if features.chunks:
            prefill = self.profile.prefill_attention
            pairs = 0.0
            for num_tokens, first_position in features.chunks:
                num_rows = max(prefill.saturation_tokens, -(-num_tokens // prefill.tile) * prefill.tile)
                pairs += num_rows * (first_position + prefill.diagonal * num_tokens)
            us += prefill.base_us + prefill.us_per_pair * pairs
        return us

    def _head_us(self, num_rows: int) -> float:
        head = self.profile.output_head
        return max(head.floor_us, head.us_per_row * num_rows)


def linear_us(profile: CostProfile, num_tokens: int) -> float:
    """Return the microseconds of one layer's matrix products and elementwise work."""
    linear = profile.linear
    num_padded = -(-num_tokens // linear.tile) * linear.tile
    products_us = max(linear.floor_us, linear.base_us + linear.us_per_token * num_padded)
    return products_us + linear.elementwise_base_us + linear.elementwise_us_per_token * num_tokens


def interpolate(table: tuple[Knot, ...], num_bytes: float) -> float:
    """Return the microseconds at `num_bytes`: straight between knots, the last line goes on, flat before them."""
    if num_bytes <= table[0][0]:
        return table[0][1]
    index = min(bisect_right(table, num_bytes, key=lambda knot: knot[0]), len(table) - 1)
    (low_bytes, low_us), (high_bytes, high_us) = table[index - 1], table[index]
    return low_us + (high_us - low_us) * (num_bytes - low_bytes) / (high_bytes - low_bytes)
