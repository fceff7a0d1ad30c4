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


class _PagedCache(ctypes.Structure):
    """`PagedCache` of the source, field by field."""

    _fields_ = (
        ("k", ctypes.c_void_p),
        ("v", ctypes.c_void_p),
        ("block_stride", ctypes.c_int64),
        ("position_stride", ctypes.c_int64),
        ("kv_head_stride", ctypes.c_int64),
        ("block_size", ctypes.c_int32),
        ("num_kv_heads", ctypes.c_int32),
        ("head_dim", ctypes.c_int32),
        ("is_half", ctypes.c_int32),
    )

    @classmethod
    def of(cls, cache: LayerCache) -> "_PagedCache":
        strides = cache.k.stride()
        assert (strides, cache.k.dtype) == (cache.v.stride(), cache.v.dtype), "keys and values must lie alike"
        assert strides[3] == 1, "a head's values must lie one behind the other"
        is_half = cache.k.dtype == torch.float16
        return cls(cache.k.data_ptr(), cache.v.data_ptr(), *strides[:3], *cache.k.shape[1:], is_half)


class AttentionCall(ctypes.Structure):
    """`AttentionCall` of the source, field by field; queries and output are the caller's to fill in."""

    _fields_ = (
        ("cache", _PagedCache),
        ("q", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("query_start", ctypes.c_void_p),
        ("context_lens", ctypes.c_void_p),
        ("block_tables", ctypes.c_void_p),
        ("num_output_queries", ctypes.c_void_p),
        ("q_token_stride", ctypes.c_int64),
        ("out_token_stride", ctypes.c_int64),
        ("max_blocks", ctypes.c_int64),
        ("num_seqs", ctypes.c_int32),
        ("num_heads", ctypes.c_int32),
        ("sliding_window", ctypes.c_int32),
        ("scale", ctypes.c_float),
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
        ("cache", _PagedCache),
        ("k", ctypes.c_void_p),
        ("v", ctypes.c_void_p),
        ("slot_mapping", ctypes.c_void_p),
        ("k_token_stride", ctypes.c_int64),
        ("v_token_stride", ctypes.c_int64),
        ("num_tokens", ctypes.c_int64),
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
        assert k.shape == v.shape == (metadata.slot_mapping.size(0), *cache.k.shape[2:])
        call = self.store_call(cache)
        call.fill_in(metadata)
        call.k, call.k_token_stride = _rows(k)
        call.v, call.v_token_stride = _rows(v)
        self.entry_store(call)

    def attend(self, q: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> Tensor:
        out = torch.empty(q.shape)
        call = self.attention_call(cache, q.size(1))
        call.fill_in(metadata)
        call.q, call.q_token_stride = _rows(q)
        call.out, call.out_token_stride = _rows(out)
        self.entry_attend(call)
        return out

    def store_call(self, cache: LayerCache) -> StoreCall:
        """Return what `entry_store` is told of a cache, whatever the batch."""
        return StoreCall(cache=self._paged(cache))

    def attention_call(self, cache: LayerCache, num_heads: int) -> AttentionCall:
        """Return what `entry_attend` is told of a cache, whatever the batch."""
        return AttentionCall(cache=self._paged(cache), num_heads=num_heads, scale=cache.k.size(3) ** -0.5)

    def _paged(self, cache: LayerCache) -> _PagedCache:
        assert cache.k.dtype == torch.float32 or (self.has_halves and cache.k.dtype == torch.float16)
        return _PagedCache.of(cache)


def _rows(heads: Tensor) -> tuple[int, int]:
    """Return where `heads` [num_tokens, num_heads, head_dim] lie, and how many floats one token is from the next."""
    token_stride, *inner = heads.stride()
    assert heads.dtype == torch.float32 and inner == [heads.size(2), 1], "a token's heads must be dense, in float32"
    return heads.data_ptr(), token_stride
