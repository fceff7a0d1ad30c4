"""Token embedding, and the output head that may share its matrix (Press and Wolf 2017)."""

import torch.nn.functional as F
from torch import Tensor

from sarathid.models.layers.context import LayerContext


class Embedding:
    """Rows of `weight` [vocab_size, hidden_size], one for each token id."""

    def __init__(self, vocab_size: int, hidden_size: int, context: LayerContext) -> None:
        self.weight = context.empty(vocab_size, hidden_size)

    def __call__(self, token_ids: Tensor) -> Tensor:
        """Return [num_tokens, hidden_size] for `token_ids` [num_tokens] int64."""
        return F.embedding(token_ids, self.weight)


class OutputHead:
    """Scores of every token of the vocabulary; tied heads are built on the embedding's own matrix."""

    def __init__(self, weight: Tensor, context: LayerContext) -> None:
        self.weight = weight  # [vocab_size, hidden_size]
        self._kernels = context.kernels

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return logits [num_rows, vocab_size] float32 for `hidden` [num_rows, hidden_size]."""
        return self._kernels.multiply(hidden, self.weight).float()
