"""Attention on CUDA by the flash-attn package (FlashAttention 2, Dao 2023); never run on hardware by us so far."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from sarathi_kernels import kv_store
from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from sarathi_kernels.probe import BackendUnavailable


class FlashAttention(AttentionBackend):
    """One call of `flash_attn_varlen_func` over the block tables, whose blocks are multiples of 256 positions.

    The package builds against the torch already there: `pip install --no-build-isolation flash-attn`.
    """

    name = "flash-attn"
    can_be_captured = True

    def __init__(self, varlen_func: Callable[..., Any]) -> None:
        self._varlen_func = varlen_func

    def store(self, k: Tensor, v: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> None:
        kv_store.store(k, v, cache, metadata.slot_mapping)

    def attend(self, q: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> Tensor:
        window = -1 if metadata.sliding_window is None else metadata.sliding_window - 1
        context_start = torch.zeros(len(metadata.context_lens) + 1, dtype=torch.int32, device=q.device)
        torch.cumsum(metadata.context_lens, 0, dtype=torch.int32, out=context_start[1:])
        out: Tensor = self._varlen_func(
            q,
            cache.k,
            cache.v,
            metadata.query_start,
            context_start,
            metadata.max_query_len,
            metadata.max_context_len,
            causal=True,
            window_size=(window, 0),
            block_table=metadata.block_tables,
        )
        return out


def find_flash_attn() -> Callable[..., Any]:
    """Return the package's `flash_attn_varlen_func`; raises `BackendUnavailable` where it is not installed."""
    try:
        module = import_module("flash_attn")
    except ImportError as error:
        raise BackendUnavailable(f"the flash-attn package can't be imported: {error}") from error
    varlen_func: Callable[..., Any] = module.flash_attn_varlen_func
    return varlen_func
