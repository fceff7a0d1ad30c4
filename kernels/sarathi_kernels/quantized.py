"""Matrices of 8-bit or 4-bit numbers: what they take in memory, and how floats become them and come back."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import torch
from torch import Tensor

GROUP = 32  # 4-bit numbers that share a scale and a minimum
# On a GPU, above so many rows, torch multiplies with floats that are unpacked once; where to draw the line was not
# measured yet.
MAX_SKINNY_ROWS = 64

Allocate: TypeAlias = Callable[[tuple[int, ...], torch.dtype], Tensor]  # memory for a shape of numbers


class Quantization(StrEnum):
    """How weights are kept; activations stay floats."""

    INT8 = "int8"  # a scale for each row
    INT4 = "int4"  # a scale and a minimum for each 32 numbers of a row


@dataclass(frozen=True, slots=True)
class QuantizedMatrix:
    """Rows of numbers: `values * scales`, and with `minima` `values * scales + minima`.

    For 4-bit numbers byte i of a group of 32 holds number i in its low half, number i + 16 in its high one.
    """

    values: Tensor  # [num_rows, depth] int8, or [num_rows, depth // 2] uint8
    scales: Tensor  # [num_rows, 1] float32, or [num_rows, depth // GROUP]
    minima: Tensor | None  # as `scales`; None for 8-bit numbers

    @classmethod
    def empty(cls, quantization: Quantization, num_rows: int, depth: int, allocate: Allocate) -> "QuantizedMatrix":
        """Return an uninitialized matrix; `depth` is a multiple of GROUP for 4-bit numbers."""
        if quantization is Quantization.INT8:
            return cls(allocate((num_rows, depth), torch.int8), allocate((num_rows, 1), torch.float32), None)
        assert depth % GROUP == 0
        values = allocate((num_rows, depth // 2), torch.uint8)
        scales, minima = allocate((2, num_rows, depth // GROUP), torch.float32)
        return cls(values, scales, minima)

    @property
    def num_rows(self) -> int:
        return len(self.values)

    @property
    def depth(self) -> int:
        return self.values.shape[1] if self.minima is None else 2 * self.values.shape[1]

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes + (0 if self.minima is None else self.minima.nbytes)

    def rows(self, first: int, num_rows: int) -> "QuantizedMatrix":
        """Return some of the rows, as views."""
        chosen = slice(first, first + num_rows)
        minima = None if self.minima is None else self.minima[chosen]
        return QuantizedMatrix(self.values[chosen], self.scales[chosen], minima)

    def take(self, weight: Tensor, peaks: Tensor | None = None) -> None:
        """Become `weight` [num_rows, depth], each number rounded to the nearest that there is.

        `peaks` [num_rows, 1] are the largest numbers of the rows that these are parts of, where they are parts: 8-bit
        numbers take their scales from them.
        """
        weight = weight.to(self.scales.device, torch.float32)
        if self.minima is None:
            scales = (peaks_of(weight) if peaks is None else peaks.to(weight.device)) / 127
            self.scales.copy_(scales)
            self.values.copy_((weight / not_zero(scales)).round().to(torch.int8))
            return
        groups = weight.view(self.num_rows, -1, GROUP)
        low, high = groups.aminmax(dim=2)
        scales = (high - low) / 15
        self.scales.copy_(scales)
        self.minima.copy_(low)
        steps = (groups - low.unsqueeze(2)) / not_zero(scales).unsqueeze(2)
        first, second = steps.round().to(torch.uint8).chunk(2, dim=2)
        self.values.copy_((first | second << 4).flatten(1))

    def to_floats(self, dtype: torch.dtype) -> Tensor:
        """Return the numbers as floats [num_rows, depth]."""
        if self.minima is None:
            return (self.values * self.scales).to(dtype)
        packed = self.values.view(self.num_rows, -1, GROUP // 2)
        numbers = torch.cat((packed & 15, packed >> 4), dim=2)
        return (numbers * self.scales.unsqueeze(2) + self.minima.unsqueeze(2)).flatten(1).to(dtype)


def peaks_of(weight: Tensor) -> Tensor:
    """Return the largest absolute number of each row of `weight` [num_rows, depth], [num_rows, 1]."""
    return weight.abs().amax(dim=1, keepdim=True)


def not_zero(scales: Tensor) -> Tensor:
    """Return scales to divide by: of numbers that are all alike, any step will do."""
    return scales.where(scales != 0, 1.0)
