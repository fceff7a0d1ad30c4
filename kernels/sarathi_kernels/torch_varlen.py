"""Attention on CUDA by torch's own paged variable-length kernel (FlashAttention, Dao et al. 2022)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from sarathi_kernels import kv_store
from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from sarathi_kernels.probe import BackendUnavailable


class VarlenAttention(AttentionBackend):
    """One call of `varlen_attn` over the block tables; caches must be dense, positions before heads.

    `num_splits=1`: split contexts are silently wrong with pages in FlashAttention 2, and without
    them a row's result does not depend on its batch mates. Raises `BackendUnavailable` where this torch
    has no such kernel.
    """

    name = "torch-varlen"
    can_be_captured = True

    def __init__(self) -> None:
        self._varlen_attn = _find_kernel()

    def store(self, k: Tensor, v: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> None:
        kv_store.store(k, v, cache, metadata.slot_mapping)

    def attend(self, q: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> Tensor:
        window = -1 if metadata.sliding_window is None else metadata.sliding_window - 1
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            out: Tensor = self._varlen_attn(
                q.contiguous(),
                cache.k,
                cache.v,
                metadata.query_start,
                None,
                metadata.max_query_len,
                metadata.max_context_len,
                window_size=(window, 0),
                enable_gqa=True,
                seqused_k=metadata.context_lens,
                block_table=metadata.block_tables,
                num_splits=1,
            )
        return out


def _find_kernel() -> Callable[..., Any]:
    try:
        # Deferred: it loads torch's compiler, which takes as long again as torch, and only CUDA needs it.
        from torch.nn.attention.varlen import varlen_attn
    except ImportError as error:
        raise BackendUnavailable(f"torch {torch.__version__} has no variable-length attention") from error
    return varlen_attn
