"""What a request's stream keeps over the engines that work on it."""

import pytest

from sarathid.engine.token_stream import TokenStream
from sarathid.protocol.logprobs import PromptLogprobs, TokenLogprobs
from sarathid.protocol.requests import Request, SamplingParams
from sarathid.protocol.step import TokenDelta
from sarathid.telemetry.delivery import Delivery
from sarathid.telemetry.pauses import Pauses


def make_stream() -> TokenStream:
    sampling = SamplingParams(prompt_logprobs=0)
    request = Request(request_id=1, prompt_token_ids=(5, 6, 7, 8), sampling=sampling)
    return TokenStream(request, lambda stream, reason: None, lambda stream, written_s, unread: None)


def told(first_position: int, *logprobs: float) -> PromptLogprobs:
    return PromptLogprobs(1, first_position, tuple(map(TokenLogprobs, logprobs)))


def test_what_another_engine_tells_again_of_a_prompt_is_known_already() -> None:
    stream = make_stream()
    stream.push_prompt(told(1, -1.0, -2.0))
    stream.mark_restarted()
    assert stream.resumed_request().sampling.prompt_logprobs == 0
    stream.push_prompt(told(1, -9.0))
    stream.push_prompt(told(2, -9.0, -3.0))
    assert [token.logprob for token in stream.prompt_logprobs] == [-1.0, -2.0, -3.0]
    assert stream.resumed_request().sampling.prompt_logprobs is None


def test_its_timing_is_that_of_the_tokens_so_far() -> None:
    stream = make_stream()
    assert stream.timing.ttft_s is None
    for made_s in (0.5, 0.6, 0.7, 1.1):
        stream.push(TokenDelta(1, 9), made_s)
    ttft_s, median_s, longest_s, num_stalls = stream.timing
    assert (ttft_s, num_stalls) == (0.5, 0)
    assert longest_s == pytest.approx(0.4)
    assert median_s is not None
    assert abs(median_s - 0.1) < 0.002


def test_a_token_is_awaited_since_its_reader_was_through_with_the_one_before() -> None:
    now_s, unread, ways = 1.0, Pauses(), list[Delivery]()
    stream = TokenStream(
        Request(request_id=1, prompt_token_ids=(5,), sampling=SamplingParams()),
        lambda stream, reason: None,
        lambda stream, written_s, unread: ways.append(stream.delivery(written_s, unread)),
        lambda: now_s,
    )
    for made_s, written_s in ((2.0, 3.0), (4.0, None), (7.0, 8.0)):
        stream.push(TokenDelta(1, 9), made_s)
        now_s = made_s + 0.5
        assert stream.take() == TokenDelta(1, 9)
        if written_s is not None:
            stream.mark_delivered(written_s, unread)
        assert stream.take() is None
    assert [(way.awaited_s, way.generated_s, way.written_s) for way in ways] == [(4.5, 7.0, 8.0)]
