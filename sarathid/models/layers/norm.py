"""Root mean square normalization (Zhang and Sennrich 2019)."""

import torch
import torch.nn.functional as F
from torch import Tensor


class RMSNorm:
    """`x / sqrt(mean(x^2) + eps) * weight` over the last dimension, computed in float32."""

    def __init__(self, size: int, eps: float, device: torch.device, dtype: torch.dtype) -> None:
        self.weight = torch.empty(size, device=device, dtype=dtype)
        self._eps = eps

    def __call__(self, x: Tensor) -> Tensor:
        """Return [num_tokens, size] for `x` [num_tokens, size]."""
        return F.rms_norm(x, self.weight.shape, self.weight, self._eps)
