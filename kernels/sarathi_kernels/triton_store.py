"""Triton: new keys and values into their slots of the paged cache."""

import triton
import triton.language as tl
from torch import Tensor

from sarathi_kernels.backend import LayerCache


def store(k: Tensor, v: Tensor, cache: LayerCache, slot_mapping: Tensor) -> None:
    """Copy row i of `k` and `v` [num_tokens, num_kv_heads, head_dim] to slot `slot_mapping[i]` (int64)."""
    num_tokens, num_kv_heads, head_dim = k.shape
    assert k.stride(2) == v.stride(2) == cache.k.stride(3) == 1 and cache.k.stride() == cache.v.stride()
    _store_token[(num_tokens,)](
        k,
        v,
        cache.k,
        cache.v,
        slot_mapping,
        num_kv_heads,
        *k.stride()[:2],
        *v.stride()[:2],
        *cache.k.stride()[:3],
        cache.k.shape[1],
        HEAD_DIM=head_dim,
        PADDED_DIM=triton.next_power_of_2(head_dim),
        PADDED_HEADS=triton.next_power_of_2(num_kv_heads),
    )


@triton.jit
def _store_token(
    k: tl.tensor,  # [num_tokens, num_kv_heads, head_dim]
    v: tl.tensor,
    k_cache: tl.tensor,  # [num_blocks, block_size, num_kv_heads, head_dim]
    v_cache: tl.tensor,
    slot_mapping: tl.tensor,  # [num_tokens] int64
    num_kv_heads: tl.tensor,
    k_token_stride: tl.tensor,
    k_head_stride: tl.tensor,
    v_token_stride: tl.tensor,
    v_head_stride: tl.tensor,
    block_stride: tl.tensor,
    position_stride: tl.tensor,
    kv_head_stride: tl.tensor,
    block_size: tl.tensor,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    PADDED_HEADS: tl.constexpr,
) -> None:
    token = tl.program_id(0).to(tl.int64)
    slot = tl.load(slot_mapping + token)
    head = tl.arange(0, PADDED_HEADS)[:, None]
    dim = tl.arange(0, PADDED_DIM)[None, :]
    is_value = (head < num_kv_heads) & (dim < HEAD_DIM)
    target = slot // block_size * block_stride + slot % block_size * position_stride + head * kv_head_stride + dim
    key = tl.load(k + token * k_token_stride + head * k_head_stride + dim, mask=is_value)
    value = tl.load(v + token * v_token_stride + head * v_head_stride + dim, mask=is_value)
    tl.store(k_cache + target, key, mask=is_value)
    tl.store(v_cache + target, value, mask=is_value)
