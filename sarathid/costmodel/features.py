"""What an iteration's time depends on, read off its batch."""

from typing import NamedTuple

from sarathid.scheduler.batch import ScheduledBatch


class ChunkShape(NamedTuple):
    """A chunk of `num_tokens` tokens that also attends to the `first_position` tokens before it."""

    num_tokens: int
    first_position: int

    @property
    def num_pairs(self) -> float:
        """Query tokens times the mean context over the chunk."""
        return self.num_tokens * (self.first_position + self.num_tokens / 2.0)


class IterationFeatures(NamedTuple):
    """The counts that models of an iteration's time are built on.

    `decode_context` sums the context lengths of the decodes.
    """

    num_decodes: int
    decode_context: int
    chunks: tuple[ChunkShape, ...] = ()

    @classmethod
    def of(cls, batch: ScheduledBatch) -> "IterationFeatures":
        decodes = batch.decodes
        return cls(
            num_decodes=len(decodes),
            decode_context=sum([decode.first_position for decode in decodes]) + len(decodes),
            chunks=tuple([ChunkShape(chunk.num_tokens, chunk.first_position) for chunk in batch.chunks]),
        )

    @property
    def num_sequences(self) -> int:
        return self.num_decodes + len(self.chunks)

    @property
    def num_prefill_tokens(self) -> int:
        return sum([chunk.num_tokens for chunk in self.chunks])

    @property
    def chunk_attention(self) -> float:
        """Token pairs of all chunks: query length times the mean context over each."""
        return sum([chunk.num_pairs for chunk in self.chunks])

    def without_chunks(self) -> "IterationFeatures":
        return IterationFeatures(self.num_decodes, self.decode_context) if self.chunks else self
