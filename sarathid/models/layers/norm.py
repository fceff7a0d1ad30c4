"""What keeps the residual stream in bounds: root mean square and layer normalization."""

from collections.abc import Iterator
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from sarathid.models.layers.checkpoint import CheckpointTensor
from sarathid.models.layers.context import LayerContext


class Norm(Protocol):
    """Normalizes rows."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return [num_tokens, size] for `x` [num_tokens, size]."""
        ...

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        """Yield its tensors by the checkpoint's names."""
        ...


class RMSNorm(Norm):
    """`x / sqrt(mean(x^2) + eps) * weight` over the last dimension, in float32 (Zhang and Sennrich 2019)."""

    def __init__(self, size: int, eps: float, context: LayerContext) -> None:
        self.weight = context.empty(size)
        self.eps = eps
        self._kernels = context.kernels

    def __call__(self, x: Tensor) -> Tensor:
        return self._kernels.normalize(x, self.weight, self.eps)

    def add(self, x: Tensor, update: Tensor) -> tuple[Tensor, Tensor]:
        """Return `x + update` and that, normalized, all [num_tokens, size]."""
        return self._kernels.add_and_normalize(x, update, self.weight, self.eps)

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        yield CheckpointTensor(f"{prefix}.weight", self.weight)


class LayerNorm(Norm):
    """`(x - mean(x)) / sqrt(var(x) + eps) * weight + bias` over the last dimension (Ba et al. 2016)."""

    def __init__(self, size: int, eps: float, context: LayerContext) -> None:
        self._weight = context.empty(size)
        self._bias = context.empty(size)
        self._eps = eps

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self._weight.shape, self._weight, self._bias, self._eps)

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        yield CheckpointTensor(f"{prefix}.weight", self._weight)
        yield CheckpointTensor(f"{prefix}.bias", self._bias)
