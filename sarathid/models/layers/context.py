"""What every layer is built with."""

from dataclasses import dataclass

import torch
from sarathi_kernels.layers import LayerKernels
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LayerContext:
    """Where weights lie, in which number format, and by which kernels layers compute."""

    device: torch.device
    dtype: torch.dtype
    kernels: LayerKernels

    def empty(self, *shape: int) -> Tensor:
        """Return an uninitialized weight."""
        return torch.empty(shape, device=self.device, dtype=self.dtype)
