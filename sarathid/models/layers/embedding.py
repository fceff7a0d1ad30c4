"""Token embedding, and the output head that may share its matrix (Press and Wolf 2017)."""

from collections.abc import Sequence
from dataclasses import replace

import torch.nn.functional as F
from sarathi_kernels.quantized import Quantization
from torch import Tensor

from sarathid.models.layers.checkpoint import Destination
from sarathid.models.layers.context import LayerContext
from sarathid.models.layers.weight import DenseWeight, Weight, make_weight
from sarathid.models.shard import Shard


class Embedding:
    """Rows of `weight` [words of this rank, hidden_size], one for each token id."""

    def __init__(self, words: Shard, hidden_size: int, context: LayerContext) -> None:
        self.weight = context.empty(words.length, hidden_size)
        self._words = words
        self._group = context.group

    def __call__(self, token_ids: Tensor) -> Tensor:
        """Return [num_tokens, hidden_size] for `token_ids` [num_tokens] int64."""
        if self._words.is_whole:
            return F.embedding(token_ids, self.weight)
        is_elsewhere = (token_ids < self._words.start) | (token_ids >= self._words.stop)
        rows = F.embedding((token_ids - self._words.start).masked_fill(is_elsewhere, 0), self.weight)
        return self._group.sum(rows.masked_fill_(is_elsewhere.unsqueeze(1), 0.0))


class OutputHead:
    """Scores of every token of the vocabulary.

    A tied head multiplies by the `embedding` itself, where that is on the same rank. With a quantization it is a matrix
    of its own, since an embedding stays floats, and of 8-bit numbers: 4-bit ones would cost more here than in a layer.
    """

    def __init__(self, words: Shard, hidden_size: int, context: LayerContext, embedding: Embedding | None) -> None:
        self._words = words
        self._group = context.group
        self._is_embedding = embedding is not None and context.quantization is None
        if embedding is not None and self._is_embedding:
            self._weight: Weight = DenseWeight(embedding.weight, context)
        else:
            int8 = None if context.quantization is None else Quantization.INT8
            self._weight = make_weight(words.length, hidden_size, replace(context, quantization=int8))

    def __call__(self, hidden: Tensor) -> Tensor | None:
        """Return logits [num_rows, vocab_size] float32 for `hidden` [num_rows, hidden_size]; None but on one rank."""
        return self._group.gather(self._weight.multiply(hidden).float(), self._words.size)

    def destinations(self) -> Sequence[Destination]:
        """Return what takes the checkpoint's matrix; none where that is the embedding's."""
        return () if self._is_embedding else self._weight.split([self._words.length])
