"""Root mean square normalization (Zhang and Sennrich 2019)."""

from torch import Tensor

from sarathid.models.layers.context import LayerContext


class RMSNorm:
    """`x / sqrt(mean(x^2) + eps) * weight` over the last dimension, computed in float32."""

    def __init__(self, size: int, eps: float, context: LayerContext) -> None:
        self.weight = context.empty(size)
        self._eps = eps
        self._kernels = context.kernels

    def __call__(self, x: Tensor) -> Tensor:
        """Return [num_tokens, size] for `x` [num_tokens, size]."""
        return self._kernels.normalize(x, self.weight, self._eps)
