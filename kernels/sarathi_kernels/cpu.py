"""Attention on CPU by a C++ kernel that reads the paged cache in place."""

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from sarathi_kernels import native
from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache

_SOURCE = "cpu_attention.cpp"
_HEAD_DIM_STEP = 16
_MAX_HEAD_DIM = 256


class _AttentionCall(ctypes.Structure):
    """`AttentionCall` of the source, field by field."""

    _fields_ = (
        ("q", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("k_cache", ctypes.c_void_p),
        ("v_cache", ctypes.c_void_p),
        ("query_start", ctypes.c_void_p),
        ("context_lens", ctypes.c_void_p),
        ("block_tables", ctypes.c_void_p),
        ("num_output_queries", ctypes.c_void_p),
        ("q_token_stride", ctypes.c_int64),
        ("out_token_stride", ctypes.c_int64),
        ("block_stride", ctypes.c_int64),
        ("position_stride", ctypes.c_int64),
        ("kv_head_stride", ctypes.c_int64),
        ("max_blocks", ctypes.c_int64),
        ("num_seqs", ctypes.c_int32),
        ("num_heads", ctypes.c_int32),
        ("num_kv_heads", ctypes.c_int32),
        ("head_dim", ctypes.c_int32),
        ("block_size", ctypes.c_int32),
        ("sliding_window", ctypes.c_int32),
        ("is_half", ctypes.c_int32),
        ("scale", ctypes.c_float),
    )


class _StoreCall(ctypes.Structure):
    """`StoreCall` of the source, field by field."""

    _fields_ = (
        ("k", ctypes.c_void_p),
        ("v", ctypes.c_void_p),
        ("k_cache", ctypes.c_void_p),
        ("v_cache", ctypes.c_void_p),
        ("slot_mapping", ctypes.c_void_p),
        ("k_token_stride", ctypes.c_int64),
        ("v_token_stride", ctypes.c_int64),
        ("block_stride", ctypes.c_int64),
        ("position_stride", ctypes.c_int64),
        ("kv_head_stride", ctypes.c_int64),
        ("num_tokens", ctypes.c_int32),
        ("num_kv_heads", ctypes.c_int32),
        ("head_dim", ctypes.c_int32),
        ("block_size", ctypes.c_int32),
        ("is_half", ctypes.c_int32),
    )


class CPUAttention(AttentionBackend):
    """Float32 attention over a cache of float32 or, where `has_halves`, float16, compiled for this processor.

    What float16 can't hold becomes the largest number that it can.

    Raises `NativeUnavailable` where that can't be done. The kernel's threads are torch's.
    """

    name = "cpu"

    def __init__(self, directory: Path) -> None:
        library = native.load(_SOURCE, directory)
        self._attend = library.sarathi_attend
        self._attend.argtypes, self._attend.restype = (ctypes.POINTER(_AttentionCall),), None
        self._store = library.sarathi_store
        self._store.argtypes, self._store.restype = (ctypes.POINTER(_StoreCall),), None
        self.has_halves = bool(library.sarathi_has_halves())

    @staticmethod
    def supports(head_dim: int, dtype: torch.dtype) -> bool:
        """Return whether the kernel takes queries of such heads."""
        return dtype == torch.float32 and head_dim % _HEAD_DIM_STEP == 0 and head_dim <= _MAX_HEAD_DIM

    def store(self, k: Tensor, v: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> None:
        num_tokens, num_kv_heads, head_dim = k.shape
        is_half = self._check_layout(cache, k, v)
        block_stride, position_stride, kv_head_stride, _ = cache.k.stride()
        self._store(
            _StoreCall(
                k=k.data_ptr(),
                v=v.data_ptr(),
                k_cache=cache.k.data_ptr(),
                v_cache=cache.v.data_ptr(),
                slot_mapping=metadata.slot_mapping.data_ptr(),
                k_token_stride=k.stride(0),
                v_token_stride=v.stride(0),
                block_stride=block_stride,
                position_stride=position_stride,
                kv_head_stride=kv_head_stride,
                num_tokens=num_tokens,
                num_kv_heads=num_kv_heads,
                head_dim=head_dim,
                block_size=cache.k.shape[1],
                is_half=is_half,
            )
        )

    def attend(self, q: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> Tensor:
        num_tokens, num_heads, head_dim = q.shape
        is_half = self._check_layout(cache, q)
        block_stride, position_stride, kv_head_stride, _ = cache.k.stride()
        _, block_size, num_kv_heads, _ = cache.k.shape
        out = torch.empty(num_tokens, num_heads, head_dim)
        self._attend(
            _AttentionCall(
                q=q.data_ptr(),
                out=out.data_ptr(),
                k_cache=cache.k.data_ptr(),
                v_cache=cache.v.data_ptr(),
                query_start=metadata.query_start.data_ptr(),
                context_lens=metadata.context_lens.data_ptr(),
                block_tables=metadata.block_tables.data_ptr(),
                num_output_queries=metadata.num_output_queries.data_ptr(),
                q_token_stride=q.stride(0),
                out_token_stride=num_heads * head_dim,
                block_stride=block_stride,
                position_stride=position_stride,
                kv_head_stride=kv_head_stride,
                max_blocks=metadata.block_tables.stride(0),
                num_seqs=metadata.context_lens.shape[0],
                num_heads=num_heads,
                num_kv_heads=num_kv_heads,
                head_dim=head_dim,
                block_size=block_size,
                sliding_window=metadata.sliding_window or 0,
                is_half=is_half,
                scale=head_dim**-0.5,
            )
        )
        return out

    def _check_layout(self, cache: LayerCache, *rows: Tensor) -> bool:
        """Check what the kernel takes for granted, and return whether the cache is float16."""
        for tensor in rows:
            assert tensor.dtype == torch.float32, "queries, and keys and values to store, must be float32"
            assert tensor.stride()[1:] == (tensor.shape[2], 1), "heads must lie one behind the other"
        strides = cache.k.stride()
        assert strides == cache.v.stride(), "keys and values must lie alike"
        assert strides[3] == 1, "a head's values must lie one behind the other"
        is_half = cache.k.dtype == torch.float16
        assert cache.k.dtype == cache.v.dtype and (self.has_halves if is_half else cache.k.dtype == torch.float32)
        return is_half
