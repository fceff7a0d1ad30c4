"""Attention written to be read: the oracle that every other backend is tested against."""

import torch
from torch import Tensor

from sarathi_kernels import kv_store
from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache


class ReferenceAttention(AttentionBackend):
    """One sequence after the other, softmax in float32 (float64 for float64), on any device."""

    name = "reference"

    def store(self, k: Tensor, v: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> None:
        kv_store.store(k, v, cache, metadata.slot_mapping)

    def attend(self, q: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> Tensor:
        starts = metadata.query_start.tolist()
        context_lens = metadata.context_lens.tolist()
        out = torch.empty_like(q)
        for index, context_len in enumerate(context_lens):
            rows = slice(starts[index], starts[index + 1])
            first = first_visible(rows.stop - rows.start, context_len, metadata.sliding_window)
            k = gather(cache.k, metadata.block_tables[index], context_len, first)
            v = gather(cache.v, metadata.block_tables[index], context_len, first)
            out[rows] = _attend_one(q[rows], k, v, metadata.sliding_window)
        return out


def first_visible(num_queries: int, context_len: int, sliding_window: int | None) -> int:
    """Return the first position that any of a sequence's queries sees."""
    return 0 if sliding_window is None else max(0, context_len - num_queries + 1 - sliding_window)


def gather(cache: Tensor, block_table: Tensor, context_len: int, first: int = 0) -> Tensor:
    """Return one sequence's positions from `first` on, [context_len - first, num_kv_heads, head_dim]."""
    num_blocks = -(-context_len // cache.shape[1])
    return cache[block_table[:num_blocks].long()].flatten(0, 1)[first:context_len]


def causal_mask(num_queries: int, context_len: int, sliding_window: int | None, device: torch.device) -> Tensor:
    """Return [num_queries, context_len] bool: whether a query may see a position."""
    query_positions = torch.arange(context_len - num_queries, context_len, device=device).unsqueeze(1)
    positions = torch.arange(context_len, device=device)
    visible = positions <= query_positions
    if sliding_window is not None:
        visible &= positions > query_positions - sliding_window
    return visible


def _attend_one(q: Tensor, k: Tensor, v: Tensor, sliding_window: int | None) -> Tensor:
    num_queries, num_heads, head_dim = q.shape
    accumulate = torch.float64 if q.dtype == torch.float64 else torch.float32
    group = num_heads // k.shape[1]
    k = k.repeat_interleave(group, dim=1).to(accumulate)  # [context_len, num_heads, head_dim]
    v = v.repeat_interleave(group, dim=1).to(accumulate)
    scores = torch.einsum("qhd,khd->hqk", q.to(accumulate), k) * head_dim**-0.5
    hidden = ~causal_mask(num_queries, len(k), sliding_window, q.device)
    weights = scores.masked_fill(hidden, -torch.inf).softmax(dim=-1)
    return torch.einsum("hqk,khd->qhd", weights, v).to(q.dtype)
