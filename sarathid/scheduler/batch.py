"""One iteration's work, as values: all that a rank needs to run it.

Values hold no circles, so that the garbage collector need not look at the many of each iteration.
"""

import msgspec

from sarathid.protocol.logprobs import PromptLogprobs, TokenLogprobs
from sarathid.protocol.requests import SamplingParams

AWAITED_TOKEN = -1  # in the place of a token that the batch before draws


class SamplingInput(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a row's next token is drawn: token `num_output_tokens` of the output of `request_id`.

    The histories are empty unless `params.needs_history`; the banned tokens are not drawn.
    """

    params: SamplingParams
    num_output_tokens: int
    request_id: int = 0
    banned_token_ids: tuple[int, ...] = ()
    prompt_token_ids: tuple[int, ...] = ()
    output_token_ids: tuple[int, ...] = ()


class PromptTargets(msgspec.Struct, frozen=True, gc=False):
    """The prompt's tokens behind each token of a chunk, whose likelihood is asked for beside that of `num_top` others.

    There is one less than the chunk has tokens where it ends the prompt.
    """

    token_ids: tuple[int, ...]
    num_top: int


class ScheduledSequence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One sequence's share of an iteration.

    `token_ids` run at positions `first_position`, `first_position` + 1, ...; `block_ids` cover every
    position up to the last of them. That of a decode is AWAITED_TOKEN where the batch before, still in flight, draws
    it for the same request. `sampling` is None for a chunk that does not end its prompt:
    nothing is drawn for it and its logits are not computed, unless there are `prompt_targets`. The last
    `num_output_tokens` of its tokens are of its output: a decode's one, and those that a chunk computes again.
    """

    request_id: int
    token_ids: tuple[int, ...]
    first_position: int
    block_ids: tuple[int, ...]
    sampling: SamplingInput | None
    prompt_targets: PromptTargets | None = None
    num_output_tokens: int = 0

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids)

    @property
    def context_len(self) -> int:
        """Positions that the last token attends to, itself included."""
        return self.first_position + len(self.token_ids)


class ScheduledBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Decodes first, then chunks. Sampled tokens are returned in this order, skipping rows without sampling."""

    decodes: tuple[ScheduledSequence, ...] = ()
    chunks: tuple[ScheduledSequence, ...] = ()
    preempted: tuple[int, ...] = ()

    @property
    def sequences(self) -> tuple[ScheduledSequence, ...]:
        return self.decodes + self.chunks

    @property
    def num_tokens(self) -> int:
        return len(self.decodes) + sum(chunk.num_tokens for chunk in self.chunks)

    def __bool__(self) -> bool:
        return bool(self.decodes or self.chunks)


class Drawn(msgspec.Struct, frozen=True, gc=False):
    """What a batch gave.

    `token_ids` has one for each row that samples, in the order of the batch; None stands for a row whose logits were
    not numbers. `logprobs` has as many, None for who did not ask, or none at all where nobody did.
    """

    token_ids: tuple[int | None, ...] = ()
    logprobs: tuple[TokenLogprobs | None, ...] = ()
    prompt_logprobs: tuple[PromptLogprobs, ...] = ()
