"""What CUDA graphs of decodes will take, reckoned before any is there: the KV cache gets what is left."""

from collections.abc import Sequence

from sarathid.executor.decode_graphs import DecodeSize
from sarathid.models.share import ModelShare

_BYTES_PER_GRAPH = 8 << 20  # what a driver keeps of one; assumed, not measured yet
_SPAN = 256  # positions of a context that are attended to apart, and joined in float32
_FLOAT_BYTES = 4


def graph_bytes(share: ModelShare, bytes_per_value: int, sizes: Sequence[DecodeSize]) -> int:
    """Return what captured passes of these sizes take: what the largest computes in between, and each one's launches.

    Between two layers nothing but the residual stream lives, so that one layer's tensors are enough, all of them at
    once at the worst.
    """
    return len(sizes) * _BYTES_PER_GRAPH + max((_pass_bytes(share, bytes_per_value, size) for size in sizes), default=0)


def _pass_bytes(share: ModelShare, bytes_per_value: int, size: DecodeSize) -> int:
    config = share.config
    qkv = (share.heads.length + 2 * share.kv_heads.length) * config.head_dim
    num_values = 6 * config.hidden_size + 2 * qkv + 3 * share.intermediate.length
    num_spans = -(-size.context_len // _SPAN)
    span_floats = share.heads.length * num_spans * (config.head_dim + 2)
    return size.num_rows * (num_values * bytes_per_value + span_floats * _FLOAT_BYTES)
