"""What every family is: an embedding, blocks on a residual stream, a last norm and an output head."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from torch import Tensor

from sarathid.models.layers.checkpoint import CheckpointTensor, Copies, Region
from sarathid.models.layers.context import LayerContext
from sarathid.models.layers.embedding import Embedding, LargestLogits, OutputHead
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
        """Return the residual stream [num_tokens, hidden_size] behind this block, for which `hidden` may be changed."""
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
        tied = self._embedding if config.is_tied else None
        self._head = OutputHead(share.vocabulary, config.hidden_size, context, tied) if share.has_head else None
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
        Returns the residual stream behind them, of which `logits` wants the rows that sample; `hidden` may be changed.
        """
        rotation = self._rope.at(positions)
        for block, cache in zip(self._blocks, caches, strict=True):
            hidden = block(hidden, rotation, cache, metadata, backend)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor | None:
        """Return logits [num_rows, vocab_size] float32 for rows of the residual stream behind the last layer.

        Of the ranks that have parts of the head, the first gets them, the others None.
        """
        return self.whole_logits(self.part_logits(hidden))

    def part_logits(self, hidden: Tensor) -> Tensor:
        """Return this rank's part [num_rows, words of this rank] float32 of what `logits` does."""
        return self._last_head(self._norm(hidden))

    def whole_logits(self, part: Tensor) -> Tensor | None:
        """Return the logits [num_rows, vocab_size] of which every rank gives its part; None but on the first."""
        return self._last_head.whole(part)

    def largest_logits(self, part: Tensor, count: int) -> LargestLogits | None:
        """Return the `count` largest logits of every rank's part; None but on the first."""
        return self._last_head.largest(part, count)

    @property
    def _last_head(self) -> OutputHead:
        assert self._head is not None, "the last stage has the head"
        return self._head

    def checkpoint_tensors(self) -> Iterator[CheckpointTensor]:
        """Yield every weight by the checkpoint's name, to be filled in place."""
        yield from self._word_matrices()
        for index, block in zip(self.share.layers, self._blocks, strict=True):
            yield from block.checkpoint_tensors(f"{self._names.blocks}.{index}")
        if self._head is not None:
            yield from self._norm.checkpoint_tensors(self._names.norm)

    def _word_matrices(self) -> Iterator[CheckpointTensor]:
        """Yield embedding and head; where they are tied, one tensor of the checkpoint fills both."""
        embeddings = () if self._embedding is None else (self._embedding.weight,)
        heads = () if self._head is None else tuple(self._head.destinations())
        named = (
            {self._names.embedding: embeddings + heads}
            if self.share.config.is_tied
            else {self._names.embedding: embeddings, self._names.head: heads}
        )
        region = Region.of(self.share.vocabulary, dim=0)
        for name, destinations in named.items():
            if len(destinations) == 1:
                yield CheckpointTensor(name, destinations[0], region)
            elif destinations:
                yield CheckpointTensor(name, Copies(destinations), region)
