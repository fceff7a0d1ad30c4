"""Writes new keys and values into their slots of the paged cache."""

from torch import Tensor

from sarathi_kernels.backend import LayerCache


def store(k: Tensor, v: Tensor, cache: LayerCache, slot_mapping: Tensor) -> None:
    """Copy row i of `k` and `v` [num_tokens, num_kv_heads, head_dim] to slot `slot_mapping[i]` (int64)."""
    cache.k.flatten(0, 1).index_copy_(0, slot_mapping, k)
    cache.v.flatten(0, 1).index_copy_(0, slot_mapping, v)
