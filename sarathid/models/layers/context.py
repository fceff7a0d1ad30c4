"""What every layer is built with."""

from dataclasses import dataclass
from typing import Protocol

import torch
from sarathi_kernels.layers import LayerKernels
from sarathi_kernels.quantized import Quantization
from torch import Tensor

from sarathid.models.layers.tensor_group import ALONE, TensorGroup


class WeightMemory(Protocol):
    """Hands out memory for weights, one tensor after the other as a model is built."""

    def allocate(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return the next tensor."""
        ...


@dataclass(frozen=True, slots=True)
class LayerContext:
    """Where weights lie, in which number format, and by which kernels layers compute.

    With a `quantization` the matrices of attention and feed-forward are kept in it, and the output head in 8 bits;
    embeddings, norms and biases are not. `group` are the ranks that have the other parts of these layers. Weights lie
    in `memory`, or wherever the device has room.
    """

    device: torch.device
    dtype: torch.dtype
    kernels: LayerKernels
    quantization: Quantization | None = None
    group: TensorGroup = ALONE
    memory: WeightMemory | None = None

    def empty(self, *shape: int) -> Tensor:
        """Return an uninitialized weight."""
        return self.allocate(shape, self.dtype)

    def allocate(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return an uninitialized tensor of any number format."""
        if self.memory is not None:
            return self.memory.allocate(shape, dtype)
        return torch.empty(shape, dtype=dtype, device=self.device)
