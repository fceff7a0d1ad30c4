"""Predicts an iteration's time from a cost profile."""

from bisect import bisect_right
from functools import lru_cache

import msgspec

from sarathid.costmodel.cost_profile import CostProfile, Knot
from sarathid.costmodel.features import ChunkShape, IterationFeatures

_S_PER_US = 1e-6
_NUM_TOKEN_COUNTS_KEPT = 1 << 16


class IterationCostModel:
    """The roofline of Sarathi-Serve's section 3.1 with a profile's figures, all times multiplied by `correction`.

    A stage of L layers takes `overhead + L * (linear + attention of chunks + attention of decodes +
    all-reduces) + send` (not on the last stage, which computes the output head instead), the first one its
    embedding too.
    """

    def __init__(self, profile: CostProfile, correction: float = 1.0) -> None:
        self.profile = profile
        self.num_stages = profile.shape.pipeline_parallel
        self._s_per_us = _S_PER_US * correction
        self._num_layers = profile.shape.num_layers
        self._stage_layers = profile.shape.stage_layers
        # Read for every prediction, and an attribute of an attribute takes twice as long.
        self._fixed_us = profile.overhead.fixed_us
        self._us_per_sequence = profile.overhead.us_per_sequence
        self._decode = msgspec.structs.astuple(profile.decode_attention)
        self._prefill = msgspec.structs.astuple(profile.prefill_attention)
        self._head = msgspec.structs.astuple(profile.output_head)
        # What depends on the number of tokens alone; batches come in few sizes.
        self._dense_us = lru_cache(_NUM_TOKEN_COUNTS_KEPT)(self._dense_us_of)

    def predict(self, features: IterationFeatures) -> float:
        """Return the seconds from an iteration's start to its last token, through idle stages."""
        host_us, layer_us, embedding_us, send_us, head_us = self._parts_us(features)
        stages_us = self.num_stages * host_us + self._num_layers * layer_us
        return (stages_us + embedding_us + (self.num_stages - 1) * send_us + head_us) * self._s_per_us

    def observe(self, features: IterationFeatures, seconds: float) -> None:
        """A profile is fixed: nothing is learned."""

    def stage_seconds(self, features: IterationFeatures) -> tuple[float, ...]:
        """Return the seconds that each stage of the pipeline works on an iteration."""
        host_us, layer_us, embedding_us, send_us, head_us = self._parts_us(features)
        stage_us = [host_us + num_layers * layer_us + send_us for num_layers in self._stage_layers]
        stage_us[0] += embedding_us
        stage_us[-1] += head_us - send_us
        return tuple([us * self._s_per_us for us in stage_us])

    def _parts_us(self, features: IterationFeatures) -> tuple[float, float, float, float, float]:
        """Return the microseconds of a stage's host, of a layer, of embedding, of sending, and of the output head."""
        num_decodes, decode_context, chunks = features
        num_sequences = num_decodes + len(chunks)
        if num_sequences == 0:
            return 0.0, 0.0, 0.0, 0.0, 0.0
        num_tokens, attention_us = num_decodes, 0.0
        if num_decodes:
            base_us, us_per_context_token, us_per_sequence = self._decode
            attention_us = base_us + us_per_context_token * decode_context + us_per_sequence * num_decodes
        if chunks:
            base_us, us_per_pair, saturation, diagonal, tile = self._prefill
            pairs = 0.0
            for length, first_position in chunks:
                num_tokens += length
                num_rows = -(-length // tile) * tile
                pairs += (num_rows if num_rows > saturation else saturation) * (first_position + diagonal * length)
            attention_us += base_us + us_per_pair * pairs
        dense_us, embedding_us, send_us = self._dense_us(num_tokens)
        floor_us, us_per_row = self._head
        host_us = self._fixed_us + self._us_per_sequence * num_sequences
        return host_us, dense_us + attention_us, embedding_us, send_us, max(floor_us, us_per_row * num_sequences)

    def prefill_s(self, num_tokens: int, first_position: int = 0) -> float:
        """Return the seconds of an iteration that is one chunk behind `first_position` tokens."""
        return self.predict(IterationFeatures(0, 0, (ChunkShape(num_tokens, first_position),)))

    def _dense_us_of(self, num_tokens: int) -> tuple[float, float, float]:
        profile, embedding = self.profile, self.profile.embedding
        num_bytes = num_tokens * profile.shape.hidden_bytes_per_token
        layer_us = linear_us(profile, num_tokens)
        if profile.all_reduce is not None:
            reduce = profile.all_reduce
            layer_us += reduce.num_per_layer * (interpolate(reduce.table, num_bytes) + reduce.launch_us)
        send_us = 0.0 if profile.send_recv is None else interpolate(profile.send_recv.table, num_bytes)
        embedding_us = 0.0 if embedding is None else embedding.base_us + embedding.us_per_token * num_tokens
        return layer_us, embedding_us, send_us


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
