"""The matrix of a projection: floats, or numbers of 8 or 4 bits."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

import torch
from sarathi_kernels.int8_panels import Int8Panels
from sarathi_kernels.quantized import GROUP, Quantization, QuantizedMatrix
from torch import Tensor

from sarathid.errors import ModelRefused
from sarathid.models.layers.checkpoint import Destination
from sarathid.models.layers.context import LayerContext


class Weight(Protocol):
    """A matrix [num_rows, depth] by which rows of tokens are multiplied."""

    def multiply(self, x: Tensor) -> Tensor:
        """Return `x @ matrix.T` [num_tokens, num_rows] for `x` [num_tokens, depth]."""
        ...

    def split(self, num_rows: Sequence[int]) -> Sequence[Destination]:
        """Return parts of so many rows each, to be filled."""
        ...

    @property
    def panels(self) -> Int8Panels | None:
        """The matrix as the CPU's integer product reads it, where it is kept so."""
        ...


def make_weight(num_rows: int, depth: int, context: LayerContext) -> Weight:
    """Return an uninitialized matrix; raises `ModelRefused` where 4-bit numbers do not fit its depth."""
    if context.quantization is None:
        return DenseWeight(context.empty(num_rows, depth), context)
    if context.quantization is Quantization.INT4 and depth % GROUP:
        raise ModelRefused(f"int4 needs rows of a multiple of {GROUP} weights, and this model has some of {depth}")
    return QuantizedWeight(context.quantization, num_rows, depth, context)


class DenseWeight(Weight):
    """Floats in the model's own format, `matrix` [num_rows, depth]."""

    def __init__(self, matrix: Tensor, context: LayerContext) -> None:
        self._kernels = context.kernels
        self._matrix = matrix

    def multiply(self, x: Tensor) -> Tensor:
        return self._kernels.multiply(x, self._matrix)

    def split(self, num_rows: Sequence[int]) -> Sequence[Destination]:
        return torch.split(self._matrix, list(num_rows))

    @property
    def panels(self) -> Int8Panels | None:
        return None


class QuantizedWeight(Weight):
    """Numbers of 8 or 4 bits, quantized as they are loaded: the floats are never all in memory."""

    def __init__(self, quantization: Quantization, num_rows: int, depth: int, context: LayerContext) -> None:
        self._kernels = context.kernels
        self._matrix = context.kernels.make_quantized(quantization, num_rows, depth, context.allocate)

    def multiply(self, x: Tensor) -> Tensor:
        return self._kernels.multiply_quantized(x, self._matrix)

    def split(self, num_rows: Sequence[int]) -> Sequence[Destination]:
        starts = (0, *accumulate(num_rows))
        return [_Rows(self._matrix.rows(start, count)) for start, count in zip(starts, num_rows, strict=False)]

    @property
    def panels(self) -> Int8Panels | None:
        return self._matrix if isinstance(self._matrix, Int8Panels) else None


class _Rows:
    """Takes rows of a checkpoint into a quantized matrix."""

    def __init__(self, matrix: QuantizedMatrix | Int8Panels) -> None:
        self._matrix = matrix

    @property
    def shape(self) -> tuple[int, ...]:
        return (self._matrix.num_rows, self._matrix.depth)

    @property
    def nbytes(self) -> int:
        return self._matrix.nbytes

    def copy_(self, source: Tensor, /) -> None:
        self._matrix.take(source)
