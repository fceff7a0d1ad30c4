"""Attention by torch's own kernels, one sequence at a time, where no better backend can run."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sarathi_kernels import kv_store
from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from sarathi_kernels.reference import causal_mask, first_visible, gather


class TorchAttention(AttentionBackend):
    """Gathers each sequence's context and calls `scaled_dot_product_attention`.

    Slower than the others: it copies every context in every iteration.
    """

    name = "torch"

    def store(self, k: Tensor, v: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> None:
        kv_store.store(k, v, cache, metadata.slot_mapping)

    def attend(self, q: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> Tensor:
        starts = metadata.query_start.tolist()
        out = torch.empty_like(q)
        for index, context_len in enumerate(metadata.context_lens.tolist()):
            rows = slice(starts[index], starts[index + 1])
            first = first_visible(rows.stop - rows.start, context_len, metadata.sliding_window)
            k = gather(cache.k, metadata.block_tables[index], context_len, first)
            v = gather(cache.v, metadata.block_tables[index], context_len, first)
            out[rows] = _attend_one(q[rows], k.to(q.dtype), v.to(q.dtype), metadata.sliding_window)
        return out


def _attend_one(q: Tensor, k: Tensor, v: Tensor, sliding_window: int | None) -> Tensor:
    is_plain_prefill = len(q) == len(k) and sliding_window is None
    is_plain_decode = len(q) == 1 and sliding_window is None
    mask = None if is_plain_prefill or is_plain_decode else causal_mask(len(q), len(k), sliding_window, q.device)
    out = F.scaled_dot_product_attention(
        _heads_first(q),
        _heads_first(k),
        _heads_first(v),
        attn_mask=mask,
        is_causal=is_plain_prefill and len(q) > 1,
        enable_gqa=True,
    )
    return out.squeeze(0).transpose(0, 1)


def _heads_first(tensor: Tensor) -> Tensor:
    """Return [1, num_heads, length, head_dim] of [length, num_heads, head_dim]."""
    return tensor.transpose(0, 1).unsqueeze(0)
