"""Whether an engine can ever serve what a request asks."""

from collections.abc import Iterable

from sarathid.errors import PromptTooLong, RequestRefused
from sarathid.protocol.requests import SamplingParams
from sarathid.protocol.stats import EngineInfo


def check_request(engine: EngineInfo, prompt_token_ids: tuple[int, ...], sampling: SamplingParams) -> None:
    """Raise `RequestRefused` when the prompt is empty or too long, or a token is none of the model's."""
    if not prompt_token_ids:
        raise RequestRefused("the prompt is empty; send at least one token", param="prompt")
    if len(prompt_token_ids) >= engine.max_model_len:
        raise PromptTooLong(
            f"the prompt has {len(prompt_token_ids)} tokens and this model's maximum context length is "
            f"{engine.max_model_len}, which must also hold the answer; shorten the prompt",
            param="prompt",
        )
    check_token_ids(engine, "prompt", prompt_token_ids)
    check_token_ids(engine, "logit_bias", sampling.logit_bias)
    check_token_ids(engine, "stop_token_ids", sampling.stop_token_ids)


def check_token_ids(engine: EngineInfo, name: str, token_ids: Iterable[int]) -> None:
    """Raise `RequestRefused` when a field by that name holds a token that is none of the model's."""
    vocabulary = range(engine.vocab_size)
    if any(token_id not in vocabulary for token_id in token_ids):
        raise RequestRefused(f"{name} holds a token id outside 0 to {engine.vocab_size - 1}", param=name)
