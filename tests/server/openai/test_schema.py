import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types import completion_create_params
from openai.types.chat import completion_create_params as chat_completion_create_params

from sarathid.errors import RequestRefused
from sarathid.server.openai.neutral import NEUTRAL_VALUES
from sarathid.server.openai.schema import (
    MAX_PROMPT_TOKENS,
    MAX_STOP_STRINGS,
    MAX_TEXT_PARTS,
    ChatRequest,
    CompletionRequest,
    parse_request,
)


def parse(**fields: Any) -> CompletionRequest:
    return parse_request(json.dumps(fields).encode(), CompletionRequest)


def parse_chat(**fields: Any) -> ChatRequest:
    return parse_request(json.dumps(fields).encode(), ChatRequest)


def test_defaults_are_openais() -> None:
    body = parse(prompt="hi")

    assert (body.temperature, body.top_p, body.token_limit, body.stream) == (1.0, 1.0, 16, False)


def test_a_chat_may_fill_the_context_unless_limited() -> None:
    messages = [{"role": "user", "content": "hi"}]

    assert parse_chat(messages=messages).token_limit is None
    assert parse_chat(messages=messages, max_tokens=7).token_limit == 7
    assert parse_chat(messages=messages, max_tokens=7, max_completion_tokens=5).token_limit == 5


def test_null_counts_as_absent() -> None:
    assert parse(prompt="hi", logprobs=None, seed=None, stop=None) == parse(prompt="hi")


def test_what_is_not_supported_may_be_sent_with_the_value_that_changes_nothing() -> None:
    assert parse(prompt="hi", n=1, echo=False, best_of=1) == parse(prompt="hi")


@pytest.mark.parametrize(
    ("type_", "reference"),
    [
        (CompletionRequest, completion_create_params.CompletionCreateParamsBase),
        (ChatRequest, chat_completion_create_params.CompletionCreateParamsBase),
    ],
)
def test_every_field_of_openais_reference_works_or_is_refused_by_name(type_: Any, reference: Any) -> None:
    """The reference is that of the `openai` package."""
    own = {"prompt": "hi"} if type_ is CompletionRequest else {"messages": [{"role": "user", "content": "hi"}]}
    fields = {*reference.__annotations__, "stream"}
    assert fields <= {*type_.__struct_fields__, *NEUTRAL_VALUES}
    for field in fields & NEUTRAL_VALUES.keys():
        with pytest.raises(RequestRefused) as refused:
            parse_request(json.dumps(own | {field: {"what": "ever"}}).encode(), type_)
        assert refused.value.param == field
        for value in (None, *NEUTRAL_VALUES[field]):
            parse_request(json.dumps(own | {field: value}).encode(), type_)


def test_a_users_own_name_has_two_fields() -> None:
    assert parse(prompt="hi", user="ann").end_user == "ann"
    assert parse(prompt="hi", safety_identifier="5f2", prompt_cache_key="k").end_user == "5f2"


def test_developers_are_the_system_and_names_are_the_templates() -> None:
    body = parse_chat(messages=[{"role": "developer", "content": "be brief", "name": "ann"}])
    assert body.messages[0].for_template() == {"role": "system", "content": "be brief", "name": "ann"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{}]}, "tools"),
        ({"response_format": {"type": "json_object", "schema": {}}}, "response_format"),
        ({"frobnicate": 1}, "frobnicate"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"top_k": 2**31}, "top_k"),
        ({"stop": [""]}, "stop[0]"),
        ({"stop": ["x"] * (MAX_STOP_STRINGS + 1)}, "stop"),
        ({"logit_bias": {"5": 101}}, "logit_bias"),
        ({"logit_bias": {"-5": 1}}, "logit_bias"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ["a", {}]}, "prompt[1]"),
        ({"prompt": [1, -1]}, "prompt[1]"),
        ({"n": 9}, "n"),
        ({"logprobs": 21}, "logprobs"),
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"stream_options": {"include": True}}, "stream_options"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options"),
        ({"priority": 11}, "priority"),
    ],
)
def test_a_field_that_is_wrong_or_not_supported_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        parse(**({"prompt": "hi"} | fields))

    assert refused.value.param == param


def test_likelier_tokens_are_refused_where_no_likelihood_is_asked() -> None:
    with pytest.raises(RequestRefused) as refused:
        parse_chat(messages=[{"role": "user", "content": "x"}], top_logprobs=2)

    assert refused.value.param == "top_logprobs"


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{", b'{"prompt": "\\ud800"}', b"\xff", b'{"a":' * 100_000, b'{"prompt": NaN}'],
)
def test_what_is_not_a_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(RequestRefused):
        parse_request(body, CompletionRequest)


def test_message_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    (message,) = parse_chat(messages=[{"role": "user", "content": parts}]).messages

    assert message.for_template() == {"role": "user", "content": "one two"}


def test_an_answer_may_be_sent_back_as_it_came() -> None:
    answer: dict[str, Any] = {
        "role": "assistant",
        "content": "one",
        "refusal": None,
        "tool_calls": None,
        "annotations": [],
    }
    (message,) = parse_chat(messages=[answer]).messages

    assert message.for_template() == {"role": "assistant", "content": "one"}


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "tool", "content": "x", "tool_call_id": "1"}, "messages[0].role"),
        ({"role": "assistant", "content": "x", "tool_calls": [{}]}, "messages[0].tool_calls"),
        ({"role": "assistant", "content": "x", "reasoning": "y"}, "messages[0]"),
        ("hi", "messages[0]"),
    ],
)
def test_what_a_message_may_not_say_is_refused_by_name(message: Any, param: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        parse_chat(messages=[message])

    assert refused.value.param == param


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
    ],
)
def test_messages_that_no_template_can_show_are_refused(message: dict[str, Any]) -> None:
    with pytest.raises(RequestRefused):
        parse_chat(messages=[message])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = (*CompletionRequest.__struct_fields__, *NEUTRAL_VALUES)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])  # a busy machine draws its first one slowly
@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=4))
def test_any_json_object_is_a_request_or_refused(fields: dict[str, Any]) -> None:
    with contextlib.suppress(RequestRefused):
        parse(**({"prompt": "hi"} | fields))


@given(st.binary(max_size=40))
def test_any_bytes_are_a_request_or_refused(body: bytes) -> None:
    for framed in (body, b'{"prompt": "%b"}' % body, b'{"prompt": %b}' % body):
        with contextlib.suppress(RequestRefused):
            parse_request(framed, CompletionRequest)


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "x", "model": "m" * 257},
        {"prompt": [1] * (MAX_PROMPT_TOKENS + 1)},
        {"prompt": [[1] * (MAX_PROMPT_TOKENS + 1)]},
        {"prompt": "x", "user": "u" * 257},
    ],
    ids=lambda fields: f"{len(str(fields))} characters",
)
def test_everything_that_can_be_long_is_bounded(fields: dict[str, Any]) -> None:
    with pytest.raises(RequestRefused, match="length <="):
        parse(**fields)


def test_the_parts_of_a_message_are_bounded() -> None:
    parts = [{"type": "text", "text": ""}] * (MAX_TEXT_PARTS + 1)
    with pytest.raises(RequestRefused, match="length <="):
        parse_chat(messages=[{"role": "user", "content": parts}])
