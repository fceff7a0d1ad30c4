"""What every layer is built with."""

from dataclasses import dataclass

import torch
from sarathi_kernels.matrix_product import MatrixProduct
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LayerContext:
    """Where weights lie, in which number format, and how activations are multiplied with them."""

    device: torch.device
    dtype: torch.dtype
    multiply: MatrixProduct

    def empty(self, *shape: int) -> Tensor:
        """Return an uninitialized weight."""
        return torch.empty(shape, device=self.device, dtype=self.dtype)
