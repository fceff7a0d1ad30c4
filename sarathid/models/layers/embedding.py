"""Token embedding, and the output head that may share its matrix (Press and Wolf 2017)."""

import torch.nn.functional as F
from torch import Tensor

from sarathid.models.layers.checkpoint import CheckpointTensor, Region
from sarathid.models.layers.context import LayerContext
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

    def checkpoint_tensor(self, name: str) -> CheckpointTensor:
        """Return the matrix by the checkpoint's name."""
        return CheckpointTensor(name, self.weight, Region.of(self._words, dim=0))


class OutputHead:
    """Scores of every token of the vocabulary; tied heads are built on the embedding's own matrix."""

    def __init__(self, weight: Tensor, words: Shard, context: LayerContext) -> None:
        self._weight = weight  # [words of this rank, hidden_size]
        self._words = words
        self._kernels = context.kernels
        self._group = context.group

    def __call__(self, hidden: Tensor) -> Tensor | None:
        """Return logits [num_rows, vocab_size] float32 for `hidden` [num_rows, hidden_size]; None but on one rank."""
        return self._group.gather(self._kernels.multiply(hidden, self._weight).float(), self._words.size)

    def checkpoint_tensor(self, name: str) -> CheckpointTensor:
        """Return the matrix by the checkpoint's name."""
        return CheckpointTensor(name, self._weight, Region.of(self._words, dim=0))
