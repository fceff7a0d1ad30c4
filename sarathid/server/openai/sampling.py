"""What the fields of a request say about the drawing of its tokens, as the engine takes it."""

import random

from sarathid.errors import RequestRefused
from sarathid.protocol.requests import SamplingParams
from sarathid.server.openai.schema import SamplingFields

MAX_SEED = 2**63 - 1


def sampling_params(body: SamplingFields, seeds: random.Random, grammar: str | None = None) -> SamplingParams:
    """Return how the request's tokens are drawn; without a seed of its own it gets one of `seeds`.

    Raises `RequestRefused` when the answer may not end where it has to.
    """
    if body.token_limit is not None and body.min_tokens > body.token_limit:
        raise RequestRefused("min_tokens is more than the answer may have", "min_tokens")
    if grammar is not None and (body.ignore_eos or body.min_tokens):
        name = "ignore_eos" if body.ignore_eos else "min_tokens"
        raise RequestRefused(f"an answer in this response_format ends where its form does; leave out {name}", name)
    return SamplingParams(
        max_tokens=body.token_limit if body.token_limit != 0 else 1,
        temperature=body.temperature,
        top_k=body.top_k if body.top_k is not None and body.top_k > 0 else None,
        top_p=body.top_p,
        min_p=body.min_p,
        seed=seeds.randrange(MAX_SEED) if body.seed is None else body.seed & MAX_SEED,
        repetition_penalty=body.repetition_penalty,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        logit_bias=body.logit_bias,
        stop_token_ids=body.stop_token_ids,
        ignore_eos=body.ignore_eos,
        min_tokens=body.min_tokens,
        logprobs=body.num_top_logprobs,
        prompt_logprobs=body.num_prompt_logprobs,
        grammar=grammar,
    )
