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


class AttentionCall(ctypes.Structure):
    """`AttentionCall` of the source, field by field; queries and output are the caller's to fill in."""

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

    @classmethod
    def over(cls, cache: LayerCache, num_heads: int) -> "AttentionCall":
        """Return what calls over a cache have in common."""
        block_stride, position_stride, kv_head_stride, _ = _strides(cache)
        _, block_size, num_kv_heads, head_dim = cache.k.shape
        return cls(
            k_cache=cache.k.data_ptr(),
            v_cache=cache.v.data_ptr(),
            block_stride=block_stride,
            position_stride=position_stride,
            kv_head_stride=kv_head_stride,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            block_size=block_size,
            is_half=cache.k.dtype == torch.float16,
            scale=head_dim**-0.5,
        )

    def fill_in(self, metadata: AttentionMetadata) -> None:
        """Take a batch, whose tensors must live until the call is over."""
        self.query_start = metadata.query_start.data_ptr()
        self.context_lens = metadata.context_lens.data_ptr()
        self.block_tables = metadata.block_tables.data_ptr()
        self.num_output_queries = metadata.num_output_queries.data_ptr()
        self.max_blocks, self.num_seqs = metadata.block_tables.stride(0), metadata.context_lens.size(0)
        self.sliding_window = metadata.sliding_window or 0


class StoreCall(ctypes.Structure):
    """`StoreCall` of the source, field by field; keys and values are the caller's to fill in."""

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

    @classmethod
    def over(cls, cache: LayerCache) -> "StoreCall":
        """Return what calls over a cache have in common."""
        block_stride, position_stride, kv_head_stride, _ = _strides(cache)
        _, block_size, num_kv_heads, head_dim = cache.k.shape
        return cls(
            k_cache=cache.k.data_ptr(),
            v_cache=cache.v.data_ptr(),
            block_stride=block_stride,
            position_stride=position_stride,
            kv_head_stride=kv_head_stride,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            block_size=block_size,
            is_half=cache.k.dtype == torch.float16,
        )

    def fill_in(self, metadata: AttentionMetadata) -> None:
        """Take a batch, whose tensors must live until the call is over."""
        self.slot_mapping, self.num_tokens = metadata.slot_mapping.data_ptr(), metadata.slot_mapping.size(0)


class CPUAttention(AttentionBackend):
    """Float32 attention over a cache of float32 or, where `has_halves`, float16, compiled for this processor.

    Raises `NativeUnavailable` where it can't be compiled. What is too large for float16 is stored as its largest.
    The kernel's threads are torch's.
    """

    name = "cpu"

    def __init__(self, directory: Path) -> None:
        library = native.load(_SOURCE, directory)
        self.entry_attend = library.sarathi_attend
        self.entry_attend.argtypes, self.entry_attend.restype = (ctypes.POINTER(AttentionCall),), None
        self.entry_store = library.sarathi_store
        self.entry_store.argtypes, self.entry_store.restype = (ctypes.POINTER(StoreCall),), None
        self.has_halves = bool(library.sarathi_has_halves())

    @staticmethod
    def supports(head_dim: int, dtype: torch.dtype) -> bool:
        """Return whether the kernel takes queries of such heads."""
        return dtype == torch.float32 and head_dim % _HEAD_DIM_STEP == 0 and head_dim <= _MAX_HEAD_DIM

    def store(self, k: Tensor, v: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> None:
        _check_rows(k, v)
        call = self.store_call(cache)
        call.fill_in(metadata)
        call.k, call.v = k.data_ptr(), v.data_ptr()
        call.k_token_stride, call.v_token_stride = k.stride(0), v.stride(0)
        self.entry_store(call)

    def attend(self, q: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> Tensor:
        _check_rows(q)
        out = torch.empty(q.shape)
        call = self.attention_call(cache, q.shape[1])
        call.fill_in(metadata)
        call.q, call.out = q.data_ptr(), out.data_ptr()
        call.q_token_stride, call.out_token_stride = q.stride(0), out.stride(0)
        self.entry_attend(call)
        return out

    def store_call(self, cache: LayerCache) -> StoreCall:
        """Return what `entry_store` is told of a cache."""
        self._check_format(cache)
        return StoreCall.over(cache)

    def attention_call(self, cache: LayerCache, num_heads: int) -> AttentionCall:
        """Return what `entry_attend` is told of a cache."""
        self._check_format(cache)
        return AttentionCall.over(cache, num_heads)

    def _check_format(self, cache: LayerCache) -> None:
        assert cache.k.dtype == cache.v.dtype
        assert cache.k.dtype == torch.float32 or (self.has_halves and cache.k.dtype == torch.float16)


def _check_rows(*rows: Tensor) -> None:
    for tensor in rows:
        assert tensor.dtype == torch.float32, "queries, and keys and values to store, must be float32"
        assert tensor.stride()[1:] == (tensor.shape[2], 1), "heads must lie one behind the other"


def _strides(cache: LayerCache) -> tuple[int, ...]:
    strides = cache.k.stride()
    assert strides == cache.v.stride(), "keys and values must lie alike"
    assert strides[3] == 1, "a head's values must lie one behind the other"
    return strides
