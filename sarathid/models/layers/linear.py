"""Projections: one matrix, or several that share their input, stacked into one."""

from collections.abc import Iterator, Sequence

import torch
from sarathi_kernels.int8_panels import Int8Panels
from torch import Tensor

from sarathid.models.layers.checkpoint import CheckpointTensor, Destination, Region
from sarathid.models.layers.context import LayerContext
from sarathid.models.layers.weight import make_weight
from sarathid.models.shard import Shard


class Linear:
    """`x @ weight.T + bias`, where the rows of `weight` [sum of outputs, inputs] are one or more projections.

    Stacking q, k, v (or gate and up) makes one matrix product of three: fewer, larger ones. A rank has a part of the
    outputs, or of the inputs: then what it returns is summed over the ranks that have the others.
    """

    def __init__(self, inputs: Shard, outputs: Sequence[Shard], has_bias: bool, context: LayerContext) -> None:
        assert inputs.is_whole or all(shard.is_whole for shard in outputs)
        self._inputs, self._outputs = inputs, outputs
        self._num_rows = [shard.length for shard in outputs]
        self._weight = make_weight(sum(self._num_rows), inputs, context)
        self._bias = context.empty(sum(self._num_rows)) if has_bias else None

    def __call__(self, x: Tensor) -> Tensor:
        """Return [num_tokens, sum of this rank's outputs] for `x` [num_tokens, this rank's inputs]."""
        return self.add_bias(self._weight.multiply(x) if self._inputs.is_whole else self._weight.multiply_parts(x))

    def part(self, x: Tensor) -> Tensor:
        """Return what this rank adds to the sum, which lacks the bias."""
        return self._weight.multiply(x)

    def add_bias(self, product: Tensor) -> Tensor:
        """Return `product`, which may be changed, with the bias if there is one."""
        return product if self._bias is None else product.add_(self._bias)

    @property
    def sums_integers(self) -> bool:
        """Whether ranks sum up integers, one product at a time, rather than what `part` returns."""
        return self._weight.panels is not None

    @property
    def panels(self) -> Int8Panels | None:
        """All there is to it, where that is a matrix as the CPU's integer product reads it."""
        return self._weight.panels if self._bias is None else None

    def weights(self) -> Sequence[Destination]:
        """Return each projection's rows, as views into the stacked ones."""
        return self._weight.split(self._num_rows)

    def biases(self) -> Sequence[Tensor]:
        """Return each projection's biases, as views into the stacked ones; none where there are none."""
        return () if self._bias is None else torch.split(self._bias, self._num_rows)

    def checkpoint_tensors(self, *names: str) -> Iterator[CheckpointTensor]:
        """Yield each projection's tensors by the checkpoint's names."""
        for name, rows, output in zip(names, self.weights(), self._outputs, strict=True):
            yield CheckpointTensor(f"{name}.weight", rows, Region.of(output, dim=0) or self._weight.region)
        for name, values, output in zip(names, self.biases(), self._outputs, strict=False):
            yield CheckpointTensor(f"{name}.bias", values, Region.of(output, dim=0))
