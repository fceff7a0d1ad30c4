"""Writes new keys and values into their slots of the paged cache."""

import torch
from torch import Tensor

from sarathi_kernels.backend import LayerCache


def store(k: Tensor, v: Tensor, cache: LayerCache, slot_mapping: Tensor) -> None:
    """Copy row i of `k` and `v` [num_tokens, num_kv_heads, head_dim] to slot `slot_mapping[i]` (int64).

    The cache may lie in memory in any order of its dimensions. What is too large for its format becomes the largest
    number that it has.
    """
    block_size = cache.k.shape[1]
    blocks, offsets = slot_mapping // block_size, slot_mapping % block_size
    cache.k[blocks, offsets] = _rounded(k, cache.k.dtype)
    cache.v[blocks, offsets] = _rounded(v, cache.v.dtype)


def _rounded(values: Tensor, dtype: torch.dtype) -> Tensor:
    if values.dtype == dtype:
        return values
    largest = torch.finfo(dtype).max
    return values.clamp(-largest, largest).to(dtype)
