"""Triton: the product of few rows with a matrix of 8-bit or 4-bit numbers, which are floats in registers alone."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sarathi_kernels.quantized import GROUP, QuantizedMatrix

_ROWS = 16  # the least that a tensor core multiplies
_COLUMNS = 64
_DEPTH = 64


def multiply(x: Tensor, weight: QuantizedMatrix) -> Tensor:
    """Return `x @ weight.T` [num_rows, num_columns] for `x` [num_rows, depth], in the format of `x`."""
    num_rows, num_columns, depth = len(x), weight.num_rows, weight.depth
    assert x.stride(1) == 1 and weight.values.is_contiguous()
    y = torch.empty(num_rows, num_columns, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(num_columns, _COLUMNS), triton.cdiv(num_rows, _ROWS))
    if weight.minima is None:
        _multiply_int8[grid](
            x, weight.values, weight.scales, y, num_rows, num_columns, depth, x.stride(0), _ROWS, _COLUMNS, _DEPTH
        )
    else:
        _multiply_int4[grid](
            x,
            weight.values,
            weight.scales,
            weight.minima,
            y,
            num_rows,
            num_columns,
            depth,
            x.stride(0),
            _ROWS,
            _COLUMNS,
            GROUP,
        )
    return y


@triton.jit(do_not_specialize=["num_rows"])
def _multiply_int8(
    x: tl.tensor,  # [num_rows, depth]
    values: tl.tensor,  # [num_columns, depth] int8
    scales: tl.tensor,  # [num_columns, 1] float32
    y: tl.tensor,  # [num_rows, num_columns]
    num_rows: tl.tensor,
    num_columns: tl.tensor,
    depth: tl.tensor,
    x_stride: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> None:
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    is_column, is_row = column < num_columns, row < num_rows
    first_value = column.to(tl.int64)[None, :] * depth
    sums = tl.zeros([ROWS, COLUMNS], tl.float32)
    for first in range(0, depth, DEPTH):
        k = first + tl.arange(0, DEPTH)
        is_k = k < depth
        part = tl.load(x + row[:, None] * x_stride + k[None, :], mask=is_row[:, None] & is_k[None, :], other=0.0)
        numbers = tl.load(values + first_value + k[:, None], mask=is_column[None, :] & is_k[:, None], other=0)
        sums += tl.dot(part, numbers.to(part.dtype), input_precision="ieee")
    scale = tl.load(scales + column, mask=is_column, other=0.0)
    target = y + row.to(tl.int64)[:, None] * num_columns + column[None, :]
    tl.store(target, (sums * scale[None, :]).to(y.dtype.element_ty), mask=is_row[:, None] & is_column[None, :])


@triton.jit(do_not_specialize=["num_rows"])
def _multiply_int4(
    x: tl.tensor,  # [num_rows, depth]
    values: tl.tensor,  # [num_columns, depth // 2] uint8
    scales: tl.tensor,  # [num_columns, depth // GROUP] float32
    minima: tl.tensor,  # [num_columns, depth // GROUP] float32
    y: tl.tensor,  # [num_rows, num_columns]
    num_rows: tl.tensor,
    num_columns: tl.tensor,
    depth: tl.tensor,
    x_stride: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    GROUP: tl.constexpr,
) -> None:
    HALF: tl.constexpr = GROUP // 2
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    is_column, is_row = column < num_columns, row < num_rows
    byte = tl.arange(0, HALF)
    first_byte = column.to(tl.int64)[None, :] * (depth // 2) + byte[:, None]
    first_group = column.to(tl.int64) * (depth // GROUP)
    source = x + row[:, None] * x_stride + byte[None, :]
    sums = tl.zeros([ROWS, COLUMNS], tl.float32)
    for group in range(depth // GROUP):
        packed = tl.load(values + first_byte + group * HALF, mask=is_column[None, :], other=0)
        low = tl.load(source + group * GROUP, mask=is_row[:, None], other=0.0)
        high = tl.load(source + group * GROUP + HALF, mask=is_row[:, None], other=0.0)
        product = tl.dot(low, (packed & 15).to(low.dtype), input_precision="ieee")
        product += tl.dot(high, (packed >> 4).to(low.dtype), input_precision="ieee")
        total = tl.sum(low.to(tl.float32), 1) + tl.sum(high.to(tl.float32), 1)
        scale = tl.load(scales + first_group + group, mask=is_column, other=0.0)
        minimum = tl.load(minima + first_group + group, mask=is_column, other=0.0)
        sums += product * scale[None, :] + total[:, None] * minimum[None, :]
    target = y + row.to(tl.int64)[:, None] * num_columns + column[None, :]
    tl.store(target, sums.to(y.dtype.element_ty), mask=is_row[:, None] & is_column[None, :])
