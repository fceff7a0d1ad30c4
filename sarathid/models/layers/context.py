"""What every layer is built with."""

from dataclasses import dataclass

import torch
from sarathi_kernels.layers import LayerKernels
from sarathi_kernels.quantized import Quantization
from torch import Tensor

from sarathid.models.layers.tensor_group import ALONE, TensorGroup


@dataclass(frozen=True, slots=True)
class LayerContext:
    """Where weights lie, in which number format, and by which kernels layers compute.

    With a `quantization` the matrices of attention and feed-forward are kept in it, and the output head in 8 bits;
    embeddings, norms and biases are not. `group` are the ranks that have the other parts of these layers.
    """

    device: torch.device
    dtype: torch.dtype
    kernels: LayerKernels
    quantization: Quantization | None = None
    group: TensorGroup = ALONE

    def empty(self, *shape: int) -> Tensor:
        """Return an uninitialized weight."""
        return torch.empty(shape, device=self.device, dtype=self.dtype)
