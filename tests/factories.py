"""Builders for what tests need, with every default spelled once."""

from sarathid.protocol.requests import Request, SamplingParams


def make_request(
    request_id: int = 1,
    num_prompt_tokens: int = 8,
    *,
    max_tokens: int | None = 8,
    arrival_s: float = 0.0,
    output_token_ids: tuple[int, ...] = (),
) -> Request:
    """Return a greedy request whose prompt is 1, 2, 3, ..."""
    return Request(
        request_id=request_id,
        prompt_token_ids=tuple(range(1, num_prompt_tokens + 1)),
        sampling=SamplingParams(max_tokens=max_tokens, temperature=0.0, ignore_eos=True),
        arrival_s=arrival_s,
        output_token_ids=output_token_ids,
    )
