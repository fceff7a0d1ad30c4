"""Attention on CUDA by torch's own paged variable-length kernel (FlashAttention, Dao et al. 2022)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from sarathi_kernels import kv_store
from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from sarathi_kernels.reference import ReferenceAttention

_TOLERANCE = 2e-2  # of a half-precision kernel against the float32 softmax of the reference
_PROBE_QUERIES = (1, 5, 3)
_PROBE_CONTEXTS = (300, 5, 40)


class VarlenUnavailable(Exception):
    """This torch, device, head size or block size has no paged variable-length attention."""


class VarlenAttention(AttentionBackend):
    """One call of `varlen_attn` over the block tables; caches must be dense, positions before heads.

    `num_splits=1`: split contexts are silently wrong with pages in FlashAttention 2, and without
    them a row's result does not depend on its batch mates. The kernel is tried on a small mixed batch
    first; raises `VarlenUnavailable` when it is missing, refuses, or is wrong.
    """

    name = "torch-varlen"

    def __init__(self, device: torch.device, dtype: torch.dtype, head_dim: int, block_size: int) -> None:
        if device.type != "cuda":
            raise VarlenUnavailable(f"torch's paged attention runs on CUDA, not on {device}")
        self._varlen_attn = _find_kernel()
        q, cache, metadata = _probe(device, dtype, head_dim, block_size)
        try:
            found = self.attend(q, cache, metadata)
        except (RuntimeError, TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise VarlenUnavailable(
                f"torch {torch.__version__} refuses blocks of {block_size}, of which 256 suit most devices: {reason}"
            ) from error
        expected = ReferenceAttention().attend(q, cache, metadata)
        if not torch.allclose(found, expected, atol=_TOLERANCE, rtol=_TOLERANCE):
            raise VarlenUnavailable(f"torch {torch.__version__} gives wrong results with blocks of {block_size}")

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
        raise VarlenUnavailable(f"torch {torch.__version__} has no variable-length attention") from error
    return varlen_attn


def _probe(
    device: torch.device, dtype: torch.dtype, head_dim: int, block_size: int
) -> tuple[Tensor, LayerCache, AttentionMetadata]:
    """Return a mixed batch of 6 heads over 2 KV heads, its blocks in reverse order, the last ones partly full."""
    generator = torch.Generator(device).manual_seed(0)
    num_blocks_each = [-(-context // block_size) for context in _PROBE_CONTEXTS]
    num_blocks = sum(num_blocks_each)
    block_tables = torch.zeros(len(_PROBE_CONTEXTS), max(num_blocks_each), dtype=torch.int32)
    remaining = torch.split(torch.arange(num_blocks - 1, -1, -1, dtype=torch.int32), num_blocks_each)
    for row, blocks in zip(block_tables, remaining, strict=True):
        row[: len(blocks)] = blocks
    shape = (2, num_blocks, block_size, 2, head_dim)
    k, v = torch.randn(shape, generator=generator, device=device, dtype=dtype)
    q = torch.randn(sum(_PROBE_QUERIES), 6, head_dim, generator=generator, device=device, dtype=dtype)
    query_start = torch.tensor((0, *_PROBE_QUERIES)).cumsum(0)
    metadata = AttentionMetadata(
        query_start=query_start.to(device, torch.int32),
        context_lens=torch.tensor(_PROBE_CONTEXTS, dtype=torch.int32, device=device),
        block_tables=block_tables.to(device),
        slot_mapping=torch.zeros(0, dtype=torch.int64, device=device),
        max_query_len=max(_PROBE_QUERIES),
        max_context_len=max(_PROBE_CONTEXTS),
    )
    return q, LayerCache(k, v), metadata
