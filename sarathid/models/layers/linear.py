"""Projections: one matrix, or several that share their input, stacked into one."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

CheckpointTensor = tuple[str, Tensor]


class Linear:
    """`x @ weight.T + bias`, where the rows of `weight` [sum(out_features), in_features] are one or more projections.

    Stacking q, k, v (or gate and up) makes one matrix product of three: fewer, larger ones.
    """

    def __init__(
        self, in_features: int, out_features: Sequence[int], has_bias: bool, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._out_features = list(out_features)
        num_rows = sum(out_features)
        self.weight = torch.empty(num_rows, in_features, device=device, dtype=dtype)
        self.bias = torch.empty(num_rows, device=device, dtype=dtype) if has_bias else None

    def __call__(self, x: Tensor) -> Tensor:
        """Return [num_tokens, sum(out_features)] for `x` [num_tokens, in_features]."""
        return F.linear(x, self.weight, self.bias)

    def checkpoint_tensors(self, *names: str) -> Iterator[CheckpointTensor]:
        """Yield each projection's tensors by the checkpoint's names, as views into the stacked ones."""
        for name, rows in zip(names, self.weight.split(self._out_features), strict=True):
            yield f"{name}.weight", rows
        if self.bias is not None:
            for name, values in zip(names, self.bias.split(self._out_features), strict=True):
                yield f"{name}.bias", values
