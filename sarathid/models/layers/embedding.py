"""Token embedding, and the output head that may share its matrix (Press and Wolf 2017)."""

import torch
import torch.nn.functional as F
from torch import Tensor


class Embedding:
    """Rows of `weight` [vocab_size, hidden_size], one for each token id."""

    def __init__(self, vocab_size: int, hidden_size: int, device: torch.device, dtype: torch.dtype) -> None:
        self.weight = torch.empty(vocab_size, hidden_size, device=device, dtype=dtype)

    def __call__(self, token_ids: Tensor) -> Tensor:
        """Return [num_tokens, hidden_size] for `token_ids` [num_tokens] int64."""
        return F.embedding(token_ids, self.weight)


class OutputHead:
    """Scores of every token of the vocabulary; tied heads are built on the embedding's own matrix."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight  # [vocab_size, hidden_size]

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return logits [num_rows, vocab_size] float32 for `hidden` [num_rows, hidden_size]."""
        return F.linear(hidden, self.weight).float()
