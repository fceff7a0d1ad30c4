"""What a decoder layer computes beside attention, on a GPU: one Triton kernel an operation, sums in float32."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sarathi_kernels import triton_quantized
from sarathi_kernels.int8_panels import Int8Panels
from sarathi_kernels.layers import TorchLayers
from sarathi_kernels.quantized import MAX_SKINNY_ROWS, QuantizedMatrix

_GATE_COLUMNS = 1024


class TritonLayers(TorchLayers):
    """Norms, gates and rotations by our kernels, products of floats by torch."""

    def multiply_quantized(self, x: Tensor, weight: QuantizedMatrix | Int8Panels) -> Tensor:
        if isinstance(weight, QuantizedMatrix) and len(x) <= MAX_SKINNY_ROWS:
            return triton_quantized.multiply(x, weight)
        return super().multiply_quantized(x, weight)

    def normalize(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        assert x.stride(1) == 1
        normalized = torch.empty_like(x)
        _normalize[(len(x),)](
            x,
            weight,
            normalized,
            x.shape[1],
            x.stride(0),
            normalized.stride(0),
            eps,
            triton.next_power_of_2(x.shape[1]),
        )
        return normalized

    def add_and_normalize(self, x: Tensor, update: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        assert x.is_contiguous() and update.is_contiguous()
        total, normalized = torch.empty_like(x), torch.empty_like(x)
        _add_and_normalize[(len(x),)](
            x, update, weight, total, normalized, x.shape[1], eps, triton.next_power_of_2(x.shape[1])
        )
        return total, normalized

    def gate(self, gate_up: Tensor) -> Tensor:
        assert gate_up.is_contiguous()
        num_rows, size = len(gate_up), gate_up.shape[1] // 2
        gated = torch.empty(num_rows, size, dtype=gate_up.dtype, device=gate_up.device)
        _gate[(num_rows, triton.cdiv(size, _GATE_COLUMNS))](gate_up, gated, size, _GATE_COLUMNS)
        return gated

    def rotate(self, heads: Tensor, cos: Tensor, sin: Tensor) -> None:
        num_tokens, num_heads, head_dim = heads.shape
        assert heads.stride(2) == 1 and cos.is_contiguous() and sin.is_contiguous()
        _rotate[(num_tokens,)](
            heads,
            cos,
            sin,
            num_heads,
            head_dim // 2,
            *heads.stride()[:2],
            triton.next_power_of_2(num_heads),
            triton.next_power_of_2(head_dim // 2),
        )


@triton.jit
def _normalize(
    x: tl.tensor,
    weight: tl.tensor,
    normalized: tl.tensor,
    size: tl.tensor,
    x_stride: tl.tensor,
    normalized_stride: tl.tensor,
    eps: tl.tensor,
    PADDED_SIZE: tl.constexpr,
) -> None:
    """Normalize row `program_id` of `x` [num_rows, size]."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, PADDED_SIZE)
    is_column = column < size
    value = tl.load(x + row * x_stride + column, mask=is_column, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(value * value) / size + eps)
    scaled = value * scale * tl.load(weight + column, mask=is_column, other=0.0).to(tl.float32)
    tl.store(normalized + row * normalized_stride + column, scaled.to(normalized.dtype.element_ty), mask=is_column)


@triton.jit
def _add_and_normalize(
    x: tl.tensor,
    update: tl.tensor,
    weight: tl.tensor,
    total: tl.tensor,
    normalized: tl.tensor,
    size: tl.tensor,
    eps: tl.tensor,
    PADDED_SIZE: tl.constexpr,
) -> None:
    """Add row `program_id` of `update` to `x` [num_rows, size], keep the sum, and normalize it."""
    row = tl.program_id(0).to(tl.int64) * size
    column = tl.arange(0, PADDED_SIZE)
    is_column = column < size
    first = tl.load(x + row + column, mask=is_column, other=0.0).to(tl.float32)
    second = tl.load(update + row + column, mask=is_column, other=0.0).to(tl.float32)
    rounded = (first + second).to(total.dtype.element_ty)
    tl.store(total + row + column, rounded, mask=is_column)
    value = rounded.to(tl.float32)  # what the next layer sees, rounding and all
    scale = tl.rsqrt(tl.sum(value * value) / size + eps)
    scaled = value * scale * tl.load(weight + column, mask=is_column, other=0.0).to(tl.float32)
    tl.store(normalized + row + column, scaled.to(normalized.dtype.element_ty), mask=is_column)


@triton.jit
def _gate(gate_up: tl.tensor, gated: tl.tensor, size: tl.tensor, COLUMNS: tl.constexpr) -> None:
    """Gate COLUMNS columns (axis 1) of a row (axis 0) of `gate_up` [num_rows, 2 * size]."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    is_column = column < size
    source = gate_up + row * 2 * size + column
    gate = tl.load(source, mask=is_column, other=0.0).to(tl.float32)
    up = tl.load(source + size, mask=is_column, other=0.0).to(tl.float32)
    value = gate / (1.0 + tl.exp(-gate)) * up
    tl.store(gated + row * size + column, value.to(gated.dtype.element_ty), mask=is_column)


@triton.jit
def _rotate(
    heads: tl.tensor,  # [num_tokens, num_heads, 2 * half]
    cos: tl.tensor,  # [num_tokens, half] float32
    sin: tl.tensor,
    num_heads: tl.tensor,
    half: tl.tensor,
    token_stride: tl.tensor,
    head_stride: tl.tensor,
    PADDED_HEADS: tl.constexpr,
    PADDED_HALF: tl.constexpr,
) -> None:
    """Turn all heads of token `program_id` in place."""
    token = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, PADDED_HEADS)[:, None]
    pair = tl.arange(0, PADDED_HALF)[None, :]
    is_pair = (head < num_heads) & (pair < half)
    target = heads + token * token_stride + head * head_stride + pair
    first = tl.load(target, mask=is_pair, other=0.0).to(tl.float32)
    second = tl.load(target + half, mask=is_pair, other=0.0).to(tl.float32)
    c = tl.load(cos + token * half + pair, mask=pair < half, other=0.0)
    s = tl.load(sin + token * half + pair, mask=pair < half, other=0.0)
    tl.store(target, (first * c - second * s).to(heads.dtype.element_ty), mask=is_pair)
    tl.store(target + half, (second * c + first * s).to(heads.dtype.element_ty), mask=is_pair)
