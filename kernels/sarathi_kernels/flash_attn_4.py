"""Attention on Hopper and Blackwell by the flash-attn-4 package (CuTe DSL); never run on hardware by us so far."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import Tensor

from sarathi_kernels import kv_store
from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from sarathi_kernels.probe import BackendUnavailable


class FlashAttention4(AttentionBackend):
    """One call of `flash_attn_varlen_func` over the block tables; blocks are multiples of 128 positions on Hopper.

    `num_splits=1`: a row's result does not depend on its batch mates. It takes 16-bit floats alone.
    """

    name = "flash-attn-4"
    can_be_captured = True

    def __init__(self, varlen_func: Callable[..., Any]) -> None:
        self._varlen_func = varlen_func

    def store(self, k: Tensor, v: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> None:
        kv_store.store(k, v, cache, metadata.slot_mapping)

    def attend(self, q: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> Tensor:
        window = None if metadata.sliding_window is None else metadata.sliding_window - 1
        given = self._varlen_func(
            q,
            cache.k,
            cache.v,
            cu_seqlens_q=metadata.query_start,
            max_seqlen_q=metadata.max_query_len,
            max_seqlen_k=metadata.max_context_len,
            seqused_k=metadata.context_lens,
            page_table=metadata.block_tables,
            causal=True,
            window_size=(window, None if window is None else 0),
            num_splits=1,
        )
        out: Tensor = given[0] if isinstance(given, tuple) else given  # some versions add the sums of exponentials
        return out


def find_flash_attn_4() -> Callable[..., Any]:
    """Return the package's `flash_attn_varlen_func`; raises `BackendUnavailable` where it is not installed."""
    try:
        module = import_module("flash_attn.cute")
    except (ImportError, OSError) as error:
        raise BackendUnavailable(f"the flash-attn-4 package can't be imported: {error}") from error
    varlen_func: Callable[..., Any] = module.flash_attn_varlen_func
    return varlen_func
