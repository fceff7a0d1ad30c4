"""Token embedding, and the output head that may share its matrix (Press and Wolf 2017)."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from sarathi_kernels.largest import argmax, first_largest
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


class LargestLogits(NamedTuple):
    """Some of each row's largest logits, the largest of all among them, and whose they are."""

    values: Tensor  # [num_rows, num_largest] float32
    token_ids: Tensor  # [num_rows, num_largest] int64


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
            self._weight: Weight = DenseWeight(embedding.weight, Shard.whole(hidden_size), context)
        else:
            int8 = None if context.quantization is None else Quantization.INT8
            self._weight = make_weight(words.length, Shard.whole(hidden_size), replace(context, quantization=int8))

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return logits [num_rows, words of this rank] float32 for `hidden` [num_rows, hidden_size]."""
        return self._weight.multiply(hidden).float()

    def whole(self, part: Tensor) -> Tensor | None:
        """Return the logits [num_rows, vocab_size] of which this rank has `part`; None but on one rank."""
        return self._group.gather(part, self._words.size)

    def largest(self, part: Tensor, count: int) -> LargestLogits | None:
        """Return, of logits of which this rank has `part`, the `count` largest of every rank; None but on one rank.

        Equal ones are in the order of their tokens, so that whose column is the first largest would be of whole rows.
        """
        num_parts = self._group.num_parts
        longest = -(-self._words.size // num_parts)
        count = min(count, longest)
        padded = F.pad(part, (0, longest - part.shape[1]), value=-math.inf) if part.shape[1] < longest else part
        places = _places_of_largest(padded, count)
        both = torch.cat((padded.gather(1, places).double(), (places + self._words.start).double()), dim=1)
        gathered = self._group.gather(both, 2 * count * num_parts)
        if gathered is None:
            return None
        values, token_ids = gathered.view(-1, num_parts, 2, count).unbind(2)
        return LargestLogits(values.flatten(1).float(), token_ids.flatten(1).long())

    def destinations(self) -> Sequence[Destination]:
        """Return what takes the checkpoint's matrix; none where that is the embedding's."""
        return () if self._is_embedding else self._weight.split([self._words.length])


def _places_of_largest(rows: Tensor, count: int) -> Tensor:
    """Return where the `count` largest numbers of each row are, [num_rows, count] int64, of equal ones the first.

    A NaN is as large as can be.
    """
    if count == 1:
        return argmax(rows).unsqueeze(1)
    numbers = rows.nan_to_num(math.inf, math.inf, -math.inf).cpu().numpy()
    places = [first_largest(row, count) for row in numbers]
    return torch.from_numpy(np.stack(places)).to(rows.device)
