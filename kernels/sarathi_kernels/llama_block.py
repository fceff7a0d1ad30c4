"""A block of Llama's kind with 8-bit weights, on a CPU in one call."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sarathi_kernels.backend import AttentionMetadata, LayerCache
from sarathi_kernels.cpu import AttentionCall, CPUAttention, StoreCall
from sarathi_kernels.int8_panels import Int8Panels


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaWeights:
    """The weights of a block without biases; `attention_norm` and `mlp_norm` are [hidden_size]."""

    attention_norm: Tensor
    qkv: Int8Panels
    o: Int8Panels
    mlp_norm: Tensor
    gate_up: Int8Panels
    down: Int8Panels
    eps: float
    num_heads: int


class _Matrix(ctypes.Structure):
    _fields_ = (
        ("panels", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("num_columns", ctypes.c_int64),
        ("depth", ctypes.c_int64),
    )

    @classmethod
    def of(cls, panels: Int8Panels) -> "_Matrix":
        assert panels.first == 0
        return cls(panels.panels.data_ptr(), panels.scales.data_ptr(), panels.num_rows, panels.depth)


class _LlamaBlock(ctypes.Structure):
    """`LlamaBlock` of the source, field by field."""

    _fields_ = (
        ("kernels", ctypes.c_void_p * 6),
        ("qkv", _Matrix),
        ("o", _Matrix),
        ("gate_up", _Matrix),
        ("down", _Matrix),
        ("attention_norm", ctypes.c_void_p),
        ("mlp_norm", ctypes.c_void_p),
        ("eps", ctypes.c_float),
    )


class _BlockCall(ctypes.Structure):
    """`BlockCall` of the source, field by field."""

    _fields_ = (
        ("hidden", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
        ("cos", ctypes.c_void_p),
        ("sin", ctypes.c_void_p),
        ("num_tokens", ctypes.c_int64),
        ("store", StoreCall),
        ("attention", AttentionCall),
    )


class LlamaBlockCall:
    """Computes a block as its parts do when they are called one by one, to the bit.

    `entry` is the compiled function, and `kernels` are those that it calls beside `backend`'s: for products, norms,
    rotation and gates. Weights are read where they lie; `scratch` gives room for so many floats until the call is over.
    """

    ARGUMENTS = (ctypes.POINTER(_LlamaBlock), ctypes.POINTER(_BlockCall))

    def __init__(
        self,
        entry: Callable[[_LlamaBlock, _BlockCall], None],
        kernels: tuple[Any, Any, Any, Any],
        weights: LlamaWeights,
        backend: CPUAttention,
        scratch: Callable[[int], Tensor],
    ) -> None:
        self._entry = entry
        self._backend = backend
        self._weights = weights
        self._scratch = scratch
        entries = (*kernels, backend.entry_store, backend.entry_attend)
        self._block = _LlamaBlock(
            kernels=(ctypes.c_void_p * 6)(*(ctypes.cast(entry, ctypes.c_void_p).value for entry in entries)),
            qkv=_Matrix.of(weights.qkv),
            o=_Matrix.of(weights.o),
            gate_up=_Matrix.of(weights.gate_up),
            down=_Matrix.of(weights.down),
            attention_norm=weights.attention_norm.data_ptr(),
            mlp_norm=weights.mlp_norm.data_ptr(),
            eps=weights.eps,
        )
        self._cache: LayerCache | None = None
        self._call = _BlockCall()
        self._floats_per_token = 2 * weights.o.num_rows + max(
            weights.qkv.num_rows + weights.o.depth, weights.gate_up.num_rows + weights.down.depth
        )

    def __call__(
        self,
        hidden: Tensor,
        rotation: tuple[Tensor, Tensor],
        cache: LayerCache,
        metadata: AttentionMetadata,
    ) -> None:
        """Change the residual stream `hidden` [num_tokens, hidden_size] float32, in place; store keys and values."""
        num_tokens = hidden.size(0)
        cos, sin = rotation
        assert hidden.size(1) == self._weights.o.num_rows
        assert hidden.is_contiguous() and cos.is_contiguous() and sin.is_contiguous()
        if cache is not self._cache:
            self._cache = cache
            self._call.store = self._backend.store_call(cache)
            self._call.attention = self._backend.attention_call(cache, self._weights.num_heads)
        call, scratch = self._call, self._scratch(num_tokens * self._floats_per_token)
        call.hidden, call.scratch, call.num_tokens = hidden.data_ptr(), scratch.data_ptr(), num_tokens
        call.cos, call.sin = cos.data_ptr(), sin.data_ptr()
        call.store.fill_in(metadata)
        call.attention.fill_in(metadata)
        self._entry(self._block, call)
