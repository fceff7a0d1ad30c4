"""A matrix of 8-bit numbers as the CPU's integer product reads it: sixteen rows side by side, by pairs of numbers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sarathi_kernels.quantized import Allocate, not_zero, peaks_of

PANEL_ROWS = 16
_LARGEST = 127


@dataclass(frozen=True, slots=True)
class Int8Panels:
    """Rows `first` to `first` + `num_rows` of panels: 8-bit numbers times a scale for each row.

    The last panel is filled up with rows of zeros.
    """

    panels: Tensor  # [num_panels, depth // 2, PANEL_ROWS, 2] int8
    scales: Tensor  # [num_panels * PANEL_ROWS] float32
    first: int
    num_rows: int

    @classmethod
    def empty(cls, num_rows: int, depth: int, allocate: Allocate) -> "Int8Panels":
        """Return a matrix whose rows are to be taken; `depth` is even."""
        assert depth % 2 == 0
        num_panels = -(-num_rows // PANEL_ROWS)
        panels = allocate((num_panels, depth // 2, PANEL_ROWS, 2), torch.int8)
        scales = allocate((num_panels * PANEL_ROWS,), torch.float32)
        if num_filled := num_rows % PANEL_ROWS:
            panels[-1, :, num_filled:] = 0
            scales[num_rows:] = 0.0
        return cls(panels, scales, 0, num_rows)

    @property
    def depth(self) -> int:
        return 2 * self.panels.shape[1]

    @property
    def nbytes(self) -> int:
        return self.num_rows * (self.depth + self.scales.itemsize)

    def rows(self, first: int, num_rows: int) -> "Int8Panels":
        """Return some of the rows, as a view."""
        return Int8Panels(self.panels, self.scales, self.first + first, num_rows)

    def take(self, weight: Tensor, peaks: Tensor | None = None) -> None:
        """Become `weight` [num_rows, depth], each number rounded to the nearest that there is.

        `peaks` [num_rows, 1] are the largest numbers of the rows that these are parts of, where they are parts.
        """
        weight = weight.to(torch.float32)
        scales = (peaks_of(weight) if peaks is None else peaks) / _LARGEST
        numbers = (weight / not_zero(scales)).round().to(torch.int8)
        pairs, panels = numbers.view(torch.int16), self.panels.view(torch.int16).squeeze(-1)
        if self.first % PANEL_ROWS or self.num_rows % PANEL_ROWS:
            panel, row = self._places()
            panels[panel, :, row] = pairs
        else:  # whole panels, a third of the time
            whole = panels[self.first // PANEL_ROWS :][: self.num_rows // PANEL_ROWS]
            whole.copy_(pairs.view(len(whole), PANEL_ROWS, -1).transpose(1, 2))
        self.scales[self.first : self.first + self.num_rows] = scales.flatten()

    def to_floats(self, dtype: torch.dtype) -> Tensor:
        """Return the numbers as floats [num_rows, depth]."""
        panel, row = self._places()
        scales = self.scales[self.first : self.first + self.num_rows]
        return (self.panels[panel, :, row].flatten(1) * scales.unsqueeze(1)).to(dtype)

    def _places(self) -> tuple[Tensor, Tensor]:
        """Return the panel of each row, and where in it the row is."""
        rows = torch.arange(self.first, self.first + self.num_rows)
        return rows // PANEL_ROWS, rows % PANEL_ROWS
