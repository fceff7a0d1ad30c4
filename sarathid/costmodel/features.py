"""What an iteration's time depends on, read off its batch."""

from dataclasses import dataclass

from sarathid.scheduler.batch import ScheduledBatch


@dataclass(frozen=True, slots=True)
class IterationFeatures:
    """Counts that a linear model of an iteration's time is built on.

    `decode_context` sums the context lengths of the decodes, `chunk_attention` sums query length
    times the mean context over each chunk (both in token pairs).
    """

    num_decodes: int
    decode_context: int
    num_prefill_tokens: int
    chunk_attention: float

    @classmethod
    def of(cls, batch: ScheduledBatch) -> "IterationFeatures":
        return cls(
            num_decodes=len(batch.decodes),
            decode_context=sum(decode.context_len for decode in batch.decodes),
            num_prefill_tokens=sum(chunk.num_tokens for chunk in batch.chunks),
            chunk_attention=sum(
                chunk.num_tokens * (chunk.first_position + chunk.num_tokens / 2.0) for chunk in batch.chunks
            ),
        )

    def without_chunks(self) -> "IterationFeatures":
        return IterationFeatures(self.num_decodes, self.decode_context, 0, 0.0)
