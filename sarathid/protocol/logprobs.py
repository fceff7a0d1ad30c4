"""How likely tokens were, by the model alone: what clients ask for with `logprobs`."""

import msgspec

MAX_TOP_LOGPROBS = 20
LEAST_LOGPROB = -9999.0  # stands for minus infinity, which JSON does not have


class TokenLogprobs(msgspec.Struct, frozen=True, gc=False):
    """The natural logarithms of a token's probability and of the likeliest tokens' in its place, likeliest first.

    They are the model's own: before penalties, biases, grammars and temperature.
    """

    logprob: float
    top_token_ids: tuple[int, ...] = ()
    top_logprobs: tuple[float, ...] = ()


class PromptLogprobs(msgspec.Struct, frozen=True, gc=False):
    """Those of a request's prompt from position `first_position` on; the first token of a prompt has none."""

    request_id: int
    first_position: int
    tokens: tuple[TokenLogprobs, ...]
