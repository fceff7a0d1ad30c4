"""Whether an engine can ever serve what a request asks."""

from sarathid.errors import RequestRefused
from sarathid.protocol.requests import SamplingParams
from sarathid.protocol.stats import EngineInfo


def check_request(engine: EngineInfo, prompt_token_ids: tuple[int, ...], sampling: SamplingParams) -> None:
    """Raise `RequestRefused` when the prompt is empty or too long, or a token is none of the model's."""
    if not prompt_token_ids:
        raise RequestRefused("the prompt is empty; send at least one token", param="prompt")
    if len(prompt_token_ids) >= engine.max_model_len:
        raise RequestRefused(
            f"the prompt has {len(prompt_token_ids)} tokens and the longest context is "
            f"{engine.max_model_len}, which must also hold the answer; shorten the prompt",
            param="prompt",
        )
    vocabulary = range(engine.vocab_size)
    for name, token_ids in (
        ("prompt", prompt_token_ids),
        ("logit_bias", sampling.logit_bias),
        ("stop_token_ids", sampling.stop_token_ids),
    ):
        if any(token_id not in vocabulary for token_id in token_ids):
            raise RequestRefused(f"{name} holds a token id outside 0 to {engine.vocab_size - 1}", param=name)
