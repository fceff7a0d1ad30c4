"""Attention on a GPU by our own Triton kernels: chunks as tiles, decodes in spans, in one iteration."""

import math

import torch
import triton
from torch import Tensor

from sarathi_kernels import triton_store
from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from sarathi_kernels.triton_chunks import attend_chunks
from sarathi_kernels.triton_decodes import attend_spans, join_spans

_SPAN = 256  # positions of a decode that one program reads
_COLUMNS = 64  # positions that are read at a time
_TILE_ROWS = 64  # queries times the heads that share a KV head; one size, so that a kernel is compiled once
_MIN_DOT = 16  # the smallest side of a matrix that a tensor core multiplies


class TritonAttention(AttentionBackend):
    """Two grids over one mixed batch: a long decode that one program read alone would hold up the iteration.

    How many programs run depends on numbers that the host has anyway, so nothing waits for the device,
    and a graph may be captured at the longest context: programs behind a context end at once.
    """

    name = "triton"
    can_be_captured = True

    def store(self, k: Tensor, v: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> None:
        triton_store.store(k, v, cache, metadata.slot_mapping)

    def attend(self, q: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> Tensor:
        assert q.stride(2) == cache.k.stride(3) == 1 and cache.k.stride() == cache.v.stride()
        out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
        if metadata.num_decodes:
            _attend_decodes(q, out, cache, metadata)
        if metadata.num_decodes < len(metadata.context_lens):
            _attend_chunks(q, out, cache, metadata)
        return out


def _attend_chunks(q: Tensor, out: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> None:
    _, num_heads, head_dim = q.shape
    num_kv_heads = cache.k.shape[2]
    group = num_heads // num_kv_heads
    rows = max(_TILE_ROWS, _padded(group))
    num_tiles = triton.cdiv(metadata.max_query_len, rows // group)
    num_chunks = len(metadata.context_lens) - metadata.num_decodes
    attend_chunks[(num_tiles, num_kv_heads, num_chunks)](
        q,
        out,
        cache.k,
        cache.v,
        metadata.query_start,
        metadata.context_lens,
        metadata.block_tables,
        metadata.num_decodes,
        _scale(head_dim),
        *q.stride()[:2],
        *out.stride()[:2],
        *cache.k.stride()[:3],
        metadata.block_tables.stride(0),
        cache.k.shape[1],
        metadata.sliding_window or 0,
        GROUP=group,
        HEAD_DIM=head_dim,
        PADDED_DIM=_padded(head_dim),
        ROWS=rows,
        COLUMNS=_COLUMNS,
    )


def _attend_decodes(q: Tensor, out: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> None:
    _, num_heads, head_dim = q.shape
    num_decodes, num_kv_heads = metadata.num_decodes, cache.k.shape[2]
    group = num_heads // num_kv_heads
    num_spans = triton.cdiv(metadata.max_context_len, _SPAN)
    window = metadata.sliding_window or 0
    partial_out = torch.empty(num_decodes, num_heads, num_spans, head_dim, device=q.device)
    # Two tensors, each as aligned as kernels were compiled for: the second half of one may lie anywhere.
    partial_max, partial_sum = (torch.empty(num_decodes, num_heads, num_spans, device=q.device) for _ in range(2))
    attend_spans[(num_spans, num_kv_heads, num_decodes)](
        q,
        partial_out,
        partial_max,
        partial_sum,
        cache.k,
        cache.v,
        metadata.context_lens,
        metadata.block_tables,
        _scale(head_dim),
        num_heads,
        num_spans,
        *q.stride()[:2],
        *cache.k.stride()[:3],
        metadata.block_tables.stride(0),
        cache.k.shape[1],
        window,
        GROUP=group,
        HEAD_DIM=head_dim,
        PADDED_DIM=_padded(head_dim),
        ROWS=_padded(group),
        COLUMNS=_COLUMNS,
        SPAN=_SPAN,
    )
    join_spans[(num_heads, num_decodes)](
        out,
        partial_out,
        partial_max,
        partial_sum,
        metadata.context_lens,
        num_heads,
        num_spans,
        *out.stride()[:2],
        window,
        HEAD_DIM=head_dim,
        PADDED_DIM=_padded(head_dim),
        SPAN=_SPAN,
    )


def _padded(size: int) -> int:
    """Return the power of two that holds `size` rows or columns of a matrix product."""
    padded: int = max(_MIN_DOT, triton.next_power_of_2(size))
    return padded


def _scale(head_dim: int) -> float:
    return math.log2(math.e) / math.sqrt(head_dim)
