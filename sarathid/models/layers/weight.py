"""The matrix of a projection: floats, or numbers of 8 or 4 bits."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

import torch
from sarathi_kernels.int8_panels import Int8Panels
from sarathi_kernels.quantized import GROUP, Quantization, QuantizedMatrix, peaks_of
from torch import Tensor

from sarathid.errors import ModelRefused
from sarathid.models.layers.checkpoint import Destination, Region
from sarathid.models.layers.context import LayerContext
from sarathid.models.shard import Shard


class Weight(Protocol):
    """A matrix [num_rows, depth] by which rows of tokens are multiplied."""

    def multiply(self, x: Tensor) -> Tensor:
        """Return `x @ matrix.T` [num_tokens, num_rows] for `x` [num_tokens, depth]."""
        ...

    def multiply_parts(self, x: Tensor) -> Tensor:
        """Return `multiply`, summed over the ranks that have the other columns, on each of them."""
        ...

    def split(self, num_rows: Sequence[int]) -> Sequence[Destination]:
        """Return parts of so many rows each, to be filled with the `region` of the checkpoint's."""
        ...

    @property
    def region(self) -> Region | None:
        """What of its rows it takes; None for all of them."""
        ...

    @property
    def panels(self) -> Int8Panels | None:
        """The matrix as the CPU's integer product reads it, where it is kept so."""
        ...


def make_weight(num_rows: int, columns: Shard, context: LayerContext) -> Weight:
    """Return an uninitialized matrix; raises `ModelRefused` where 4-bit numbers do not fit its depth."""
    if context.quantization is None:
        return DenseWeight(context.empty(num_rows, columns.length), columns, context)
    if context.quantization is Quantization.INT4 and columns.length % GROUP:
        raise ModelRefused(
            f"int4 needs rows of a multiple of {GROUP} weights, and this model has some of {columns.length}"
        )
    return QuantizedWeight(context.quantization, num_rows, columns, context)


class DenseWeight(Weight):
    """Floats in the model's own format, `matrix` [num_rows, columns.length]."""

    def __init__(self, matrix: Tensor, columns: Shard, context: LayerContext) -> None:
        self._kernels = context.kernels
        self._group = context.group
        self._matrix = matrix
        self._columns = columns

    def multiply(self, x: Tensor) -> Tensor:
        return self._kernels.multiply(x, self._matrix)

    def multiply_parts(self, x: Tensor) -> Tensor:
        return self._group.sum(self.multiply(x))

    def split(self, num_rows: Sequence[int]) -> Sequence[Destination]:
        return torch.split(self._matrix, list(num_rows))

    @property
    def region(self) -> Region | None:
        return Region.of(self._columns, dim=1)

    @property
    def panels(self) -> Int8Panels | None:
        return None


class QuantizedWeight(Weight):
    """Numbers of 8 or 4 bits, quantized as they are loaded: the floats are never all in memory.

    Those of 8 bits take whole rows of the checkpoint, to have their scales wherever they are cut.
    """

    def __init__(self, quantization: Quantization, num_rows: int, columns: Shard, context: LayerContext) -> None:
        self._kernels = context.kernels
        self._group = context.group
        self._quantization = quantization
        self._columns = columns
        self._matrix = context.kernels.make_quantized(quantization, num_rows, columns.length, context.allocate)

    def multiply(self, x: Tensor) -> Tensor:
        return self._kernels.multiply_quantized(x, self._matrix)

    def multiply_parts(self, x: Tensor) -> Tensor:
        return self._kernels.multiply_quantized_parts(x, self._matrix, self._columns.size, self._group)

    def split(self, num_rows: Sequence[int]) -> Sequence[Destination]:
        columns = Shard.whole(self._columns.length) if self.region else self._columns
        starts = (0, *accumulate(num_rows))
        return [_Rows(self._matrix.rows(start, count), columns) for start, count in zip(starts, num_rows, strict=False)]

    @property
    def region(self) -> Region | None:
        return None if self._quantization is Quantization.INT8 else Region.of(self._columns, dim=1)

    @property
    def panels(self) -> Int8Panels | None:
        return self._matrix if isinstance(self._matrix, Int8Panels) else None


class _Rows:
    """Takes some columns of a checkpoint's rows into a quantized matrix."""

    def __init__(self, matrix: QuantizedMatrix | Int8Panels, columns: Shard) -> None:
        self._matrix = matrix
        self._columns = columns

    @property
    def shape(self) -> tuple[int, ...]:
        return (self._matrix.num_rows, self._columns.size)

    @property
    def nbytes(self) -> int:
        return self._matrix.nbytes

    def copy_(self, source: Tensor, /) -> None:
        if self._columns.is_whole:
            self._matrix.take(source)
        else:
            self._matrix.take(source[:, self._columns.start : self._columns.stop], peaks_of(source.to(torch.float32)))
