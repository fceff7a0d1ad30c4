"""What every family is: an embedding, blocks on a residual stream, a last norm and an output head."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from torch import Tensor

from sarathid.models.layers.checkpoint import CheckpointTensor
from sarathid.models.layers.context import LayerContext
from sarathid.models.layers.embedding import Embedding, OutputHead
from sarathid.models.layers.norm import Norm
from sarathid.models.layers.rope import Rope
from sarathid.models.share import ModelShare


class Block(Protocol):
    """One layer of a family."""

    def __call__(
        self,
        hidden: Tensor,
        rotation: tuple[Tensor, Tensor],
        cache: LayerCache,
        metadata: AttentionMetadata,
        backend: AttentionBackend,
    ) -> Tensor:
        """Return the residual stream [num_tokens, hidden_size] behind this block."""
        ...

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        """Yield this block's tensors by the checkpoint's names."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointNames:
    """What a family's checkpoints call the parts that every family has; blocks are numbered."""

    embedding: str
    blocks: str
    norm: str
    head: str = "lm_head.weight"


class Decoder:
    """A model, or a rank's share of one; its weights are uninitialized until `checkpoint_tensors` are filled."""

    def __init__(
        self,
        share: ModelShare,
        max_positions: int,
        context: LayerContext,
        *,
        blocks: Sequence[Block],
        norm: Norm,
        names: CheckpointNames,
    ) -> None:
        config = share.config
        self.share = share
        self._embedding = Embedding(share.vocabulary, config.hidden_size, context) if share.has_embedding else None
        self._rope = Rope(config.rope, config.head_dim, max_positions, context.device)
        self._blocks = blocks
        self._norm = norm
        self._head = self._make_head(context) if share.has_head else None
        self._names = names

    def embed(self, token_ids: Tensor) -> Tensor:
        """Return the residual stream [num_tokens, hidden_size] in front of the first layer."""
        assert self._embedding is not None, "the first stage embeds"
        return self._embedding(token_ids)

    def forward(
        self,
        hidden: Tensor,
        positions: Tensor,
        caches: Sequence[LayerCache],
        metadata: AttentionMetadata,
        backend: AttentionBackend,
    ) -> Tensor:
        """Run a mixed batch of chunks and decodes through the layers, storing its keys and values.

        `hidden` is the residual stream [num_tokens, hidden_size] in front of them, `positions` [num_tokens] int64.
        Returns the residual stream behind them, of which `logits` wants the rows that sample.
        """
        rotation = self._rope.at(positions)
        for block, cache in zip(self._blocks, caches, strict=True):
            hidden = block(hidden, rotation, cache, metadata, backend)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor | None:
        """Return logits [num_rows, vocab_size] float32 for rows of the residual stream behind the last layer.

        Of the ranks that have parts of the head, the first gets them, the others None.
        """
        assert self._head is not None, "the last stage has the head"
        return self._head(self._norm(hidden))

    def checkpoint_tensors(self) -> Iterator[CheckpointTensor]:
        """Yield every weight by the checkpoint's name, to be filled in place."""
        if self._embedding is not None:
            yield self._embedding.checkpoint_tensor(self._names.embedding)
        for index, block in zip(self.share.layers, self._blocks, strict=True):
            yield from block.checkpoint_tensors(f"{self._names.blocks}.{index}")
        if self._head is None:
            return
        yield from self._norm.checkpoint_tensors(self._names.norm)
        if not self.share.config.is_tied:
            yield self._head.checkpoint_tensor(self._names.head)
        elif self._embedding is None:
            yield self._head.checkpoint_tensor(self._names.embedding)

    def _make_head(self, context: LayerContext) -> OutputHead:
        config, words = self.share.config, self.share.vocabulary
        if config.is_tied and self._embedding is not None:
            return OutputHead(self._embedding.weight, words, context)
        return OutputHead(context.empty(words.length, config.hidden_size), words, context)
