"""An event is, byte for byte, its struct encoded as a whole."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from sarathid.protocol.requests import FinishReason
from sarathid.server.openai.event_envelope import EventEnvelope
from sarathid.server.openai.schema import (
    ChatChunk,
    ChatChunkChoice,
    ChatDelta,
    ChatLogprobs,
    ChatTokenLogprob,
    ChatTopLogprob,
    CompletionChoice,
    CompletionLogprobs,
    CompletionReply,
    PromptTokensDetails,
    Timing,
    Usage,
)

TRICKY = st.sampled_from(['"choices":[]', '\\"choices":[]', '"usage":null}', "]}\n\ndata: ", "\N{LINE SEPARATOR}"])
TEXTS = st.text(max_size=20) | TRICKY
COUNTS = st.integers(0, 2**31)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TOKEN_IDS = st.just(UNSET) | st.lists(COUNTS, max_size=4).map(tuple)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, st.builds(PromptTokensDetails, COUNTS))
TIMINGS = st.builds(
    Timing, ttft_s=FLOATS, tbt_p50_s=st.none() | FLOATS, tbt_max_s=st.none() | FLOATS, num_stalls=COUNTS
)
HEADS = st.fixed_dictionaries({"id": TEXTS, "created": COUNTS, "model": TEXTS, "system_fingerprint": TEXTS})
COMMON: dict[str, st.SearchStrategy[Any]] = {
    "index": COUNTS,
    "finish_reason": st.none() | st.sampled_from(FinishReason),
    "token_ids": TOKEN_IDS,
    "prompt_token_ids": TOKEN_IDS,
    "timing": st.just(UNSET) | TIMINGS,
}
COMPLETION_LOGPROBS = st.builds(
    CompletionLogprobs,
    tokens=st.lists(TEXTS, max_size=3).map(tuple),
    token_logprobs=st.lists(st.none() | FLOATS, max_size=3).map(tuple),
    top_logprobs=st.lists(st.none() | st.dictionaries(TEXTS, FLOATS, max_size=3), max_size=3).map(tuple),
    text_offset=st.lists(COUNTS, max_size=3).map(tuple),
)
TOP: dict[str, st.SearchStrategy[Any]] = {
    "token": TEXTS,
    "logprob": FLOATS,
    "bytes": st.binary(max_size=4).map(tuple),
}
TOKEN_LOGPROBS = st.builds(
    ChatTokenLogprob, **TOP, top_logprobs=st.lists(st.builds(ChatTopLogprob, **TOP), max_size=2).map(tuple)
)
CHAT_LOGPROBS = st.builds(ChatLogprobs, content=st.lists(TOKEN_LOGPROBS, max_size=2).map(tuple))
COMPLETION_CHOICES = st.builds(CompletionChoice, text=TEXTS, logprobs=st.none() | COMPLETION_LOGPROBS, **COMMON)
CHAT_CHOICES = st.builds(
    ChatChunkChoice,
    delta=st.builds(ChatDelta, role=st.just(UNSET) | TEXTS, content=st.just(UNSET) | TEXTS),
    logprobs=st.none() | CHAT_LOGPROBS,
    **COMMON,
)


@pytest.mark.parametrize(("kind", "choices"), [(CompletionReply, COMPLETION_CHOICES), (ChatChunk, CHAT_CHOICES)])
@given(st.data(), HEADS, st.booleans(), st.none() | USAGES)
def test_an_event_around_a_choice(
    kind: type[CompletionReply | ChatChunk],
    choices: st.SearchStrategy[Any],
    data: st.DataObject,
    head: dict[str, Any],
    tells_usage: bool,
    usage: Usage | None,
) -> None:
    choice = data.draw(choices)
    envelope = EventEnvelope(kind(**head, choices=()), tells_usage=tells_usage)
    told = usage if usage is not None or tells_usage else UNSET
    assert envelope.around(choice, usage) == msgspec.json.encode(kind(**head, choices=(choice,), usage=told))
