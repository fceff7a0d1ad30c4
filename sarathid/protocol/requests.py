"""What a client asks of the engine: immutable, checked where it enters."""

from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from sarathid.protocol.logprobs import MAX_TOP_LOGPROBS

Probability: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]
NumLogprobs: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)]
Penalty: TypeAlias = Annotated[float, Meta(ge=-2.0, le=2.0)]
Priority: TypeAlias = Annotated[int, Meta(ge=-10, le=10)]

MAX_LOGIT_BIASES = 1024
MAX_STOP_TOKENS = 64
MAX_GRAMMAR_BYTES = 256 << 10
MIN_TEMPERATURE = 1e-5  # logits divided by less may overflow


class PrefillOrder(StrEnum):
    """Whose prompt is computed first: the oldest, or the one of which least is left."""

    ARRIVAL = "arrival"
    SHORTEST_REMAINING = "shortest-remaining"


class FinishReason(StrEnum):
    """Why a request produced its last token."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    ERROR = "error"


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """How the next token of a request is drawn.

    `temperature` 0 is greedy, and so is one below `MIN_TEMPERATURE`. `top_k` None keeps all tokens.
    Token n of a request is drawn from a generator seeded by (`seed`, n) alone, so the text does not
    depend on batch mates, preemption or a restart. `repetition_penalty` divides positive and multiplies
    negative logits of tokens in prompt or output (Keskar et al. 2019); `presence_penalty` and
    `frequency_penalty` subtract as OpenAI's API defines, over the output. Stop strings are not the
    engine's business: the server finds them in the text. Behind fewer than `min_tokens` neither the end of the sequence
    nor a stop token is drawn. With `logprobs` it is told of each token how likely it and so many others were; with
    `prompt_logprobs`, of each token of the prompt but the first. A `grammar`, in llguidance's form, says which tokens
    may follow which.
    """

    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0.0, le=100.0)] = 1.0
    top_k: Annotated[int, Meta(ge=1, le=2**31)] | None = None
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    min_p: Probability = 0.0
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    repetition_penalty: Annotated[float, Meta(ge=0.01, le=10.0)] = 1.0
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    logit_bias: Annotated[dict[int, float], Meta(max_length=MAX_LOGIT_BIASES)] = {}
    stop_token_ids: Annotated[tuple[int, ...], Meta(max_length=MAX_STOP_TOKENS)] = ()
    ignore_eos: bool = False
    min_tokens: Annotated[int, Meta(ge=0, le=2**31)] = 0
    logprobs: NumLogprobs | None = None
    prompt_logprobs: NumLogprobs | None = None
    grammar: Annotated[str, Meta(max_length=MAX_GRAMMAR_BYTES)] | None = None

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always the next one."""
        return self.temperature < MIN_TEMPERATURE

    @property
    def needs_history(self) -> bool:
        """Whether drawing a token looks at the tokens before it."""
        has_penalties = self.presence_penalty != 0.0 or self.frequency_penalty != 0.0
        return self.repetition_penalty != 1.0 or has_penalties or self.grammar is not None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request as the engine gets it.

    `arrival_s` is monotonic seconds when the daemon accepted it. `output_token_ids` are tokens that
    the client already has: a new engine computes them again and goes on behind them. What was computed is shared among
    requests of the same `cache_salt` alone. `owner` is the user or the key that the client is known by: owners share
    the engine fairly, and `priority`, of which less is earlier, orders the requests of one.
    """

    request_id: int
    prompt_token_ids: tuple[int, ...]
    sampling: SamplingParams = SamplingParams()
    arrival_s: float = 0.0
    client: str = ""
    cache_salt: str = ""
    owner: str = ""
    priority: Priority = 0
    output_token_ids: tuple[int, ...] = ()
