"""Projections: one matrix, or several that share their input, stacked into one."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sarathid.models.layers.checkpoint import CheckpointTensor, Destination
from sarathid.models.layers.context import LayerContext
from sarathid.models.layers.weight import make_weight


class Linear:
    """`x @ weight.T + bias`, where the rows of `weight` [sum(out_features), in_features] are one or more projections.

    Stacking q, k, v (or gate and up) makes one matrix product of three: fewer, larger ones.
    """

    def __init__(self, in_features: int, out_features: Sequence[int], has_bias: bool, context: LayerContext) -> None:
        self._out_features = list(out_features)
        self._weight = make_weight(sum(out_features), in_features, context)
        self._bias = context.empty(sum(out_features)) if has_bias else None

    def __call__(self, x: Tensor) -> Tensor:
        """Return [num_tokens, sum(out_features)] for `x` [num_tokens, in_features]."""
        product = self._weight.multiply(x)
        return product if self._bias is None else product.add_(self._bias)

    def weights(self) -> Sequence[Destination]:
        """Return each projection's rows, as views into the stacked ones."""
        return self._weight.split(self._out_features)

    def biases(self) -> Sequence[Tensor]:
        """Return each projection's biases, as views into the stacked ones; none where there are none."""
        return () if self._bias is None else torch.split(self._bias, self._out_features)

    def checkpoint_tensors(self, *names: str) -> Iterator[CheckpointTensor]:
        """Yield each projection's tensors by the checkpoint's names."""
        for name, rows in zip(names, self.weights(), strict=True):
            yield f"{name}.weight", rows
        for name, values in zip(names, self.biases(), strict=False):
            yield f"{name}.bias", values
