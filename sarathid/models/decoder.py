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
from sarathid.models.model_config import ModelConfig


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
    """A whole model; its weights are uninitialized until `checkpoint_tensors` are filled."""

    def __init__(
        self,
        config: ModelConfig,
        max_positions: int,
        context: LayerContext,
        *,
        blocks: Sequence[Block],
        norm: Norm,
        names: CheckpointNames,
    ) -> None:
        self.config = config
        self._embedding = Embedding(config.vocab_size, config.hidden_size, context)
        self._rope = Rope(config.rope, config.head_dim, max_positions, context.device)
        self._blocks = blocks
        self._norm = norm
        head = self._embedding.weight if config.is_tied else context.empty(config.vocab_size, config.hidden_size)
        self._head = OutputHead(head, context)
        self._names = names

    def forward(
        self,
        token_ids: Tensor,
        positions: Tensor,
        caches: Sequence[LayerCache],
        metadata: AttentionMetadata,
        backend: AttentionBackend,
    ) -> Tensor:
        """Run a mixed batch of chunks and decodes, storing its keys and values.

        `token_ids` and `positions` are [num_tokens] int64. Returns the residual stream
        [num_tokens, hidden_size], of which `logits` wants the rows that sample.
        """
        hidden = self._embedding(token_ids)
        rotation = self._rope.at(positions)
        for block, cache in zip(self._blocks, caches, strict=True):
            hidden = block(hidden, rotation, cache, metadata, backend)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits [num_rows, vocab_size] float32 for rows of the residual stream."""
        return self._head(self._norm(hidden))

    def checkpoint_tensors(self) -> Iterator[CheckpointTensor]:
        """Yield every weight by the checkpoint's name, to be filled in place."""
        yield self._names.embedding, self._embedding.weight
        for index, block in enumerate(self._blocks):
            yield from block.checkpoint_tensors(f"{self._names.blocks}.{index}")
        yield from self._norm.checkpoint_tensors(self._names.norm)
        if not self.config.is_tied:
            yield self._names.head, self._head.weight
