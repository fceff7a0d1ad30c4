import asyncio
import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sarathid.protocol.requests import FinishReason
from sarathid.server.openai.sampling import sampling_params
from sarathid.server.openai.schema import CompletionRequest
from tests.server.api_server import MODEL, Api, assert_refused, events_of, usage, with_api
from tests.server.byte_tokenizer import EOS, token_ids
from tests.server.scripted_engine import MAX_MODEL_LEN

CHAT = [{"role": "user", "content": "hi"}]


def test_a_completion_has_text_reason_and_usage(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        reply = (await api.http.post("/v1/completions", json={"prompt": "abc", "max_tokens": 4})).json()
        (choice,) = reply["choices"]
        timing = choice.pop("timing")
        assert choice == {"text": "Once", "index": 0, "logprobs": None, "finish_reason": "length"}
        assert 0.0 < timing["tbt_p50_s"] <= 1.01 * timing["tbt_max_s"]
        assert timing["ttft_s"] > 0.0
        assert timing["num_stalls"] == 0
        assert reply["usage"] == usage(3, 4)
        assert (reply["object"], reply["model"]) == ("text_completion", MODEL)
        assert reply["system_fingerprint"].endswith(MODEL)

    with_api(tmp_path, use)


def test_usage_tells_what_was_cached_of_the_prompt_for_this_user_and_this_salt(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        async def num_cached(**fields: Any) -> int:
            body = {"prompt": "x" * 30, "max_tokens": 1, **fields}
            reply = (await api.http.post("/v1/completions", json=body)).json()
            return int(reply["usage"]["prompt_tokens_details"]["cached_tokens"])

        assert await num_cached() == 0
        assert await num_cached() == 28
        assert await num_cached(cache_salt="mine") == 0
        assert await num_cached(cache_salt="mine") == 28
        assert (await api.ended.get()).num_cached_tokens == 0
        assert (await api.ended.get()).num_cached_tokens == 28

    with_api(tmp_path, use)


def test_token_ids_go_in_and_come_out(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        body = {"prompt": [5, 6], "max_tokens": 2, "return_token_ids": True}
        (choice,) = (await api.http.post("/v1/completions", json=body)).json()["choices"]
        assert choice["token_ids"] == list(token_ids("On"))
        assert choice["prompt_token_ids"] == [5, 6]

    with_api(tmp_path, use)


@pytest.mark.parametrize(("asked", "drawn_at"), [(0.0, 0.0), (1e-310, 1e-310), (1.5, 1.5)])
def test_a_temperature_that_nothing_can_be_divided_by_is_greedy(asked: float, drawn_at: float) -> None:
    assert sampling_params(CompletionRequest(prompt="hi", temperature=asked), Random(1)).temperature == drawn_at


def test_a_completion_streams_one_event_a_text_and_then_usage(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        body = {"prompt": "abc", "max_tokens": 16, "stream_options": {"include_usage": True}}
        *events, last = await events_of(api, "/v1/completions", body)
        assert [event["choices"][0]["text"] for event in events] == ["a", "😀", ""]
        assert [event["choices"][0]["finish_reason"] for event in events] == [None, None, "stop"]
        assert [event["usage"] for event in events] == [None, None, None]
        assert last["choices"] == []
        assert last["usage"] == usage(3, 6)

    with_api(tmp_path, use, "a😀")


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_a_stream_tells_with_each_event_what_was_used_where_it_is_asked_to(tmp_path: Path, path: str) -> None:
    async def use(api: Api) -> None:
        asked = {"messages": CHAT} if "chat" in path else {"prompt": "abc"}
        options = {"include_usage": True, "continuous_usage_stats": True}
        events = await events_of(api, path, {**asked, "max_tokens": 3, "stream_options": options})
        assert [event["usage"]["completion_tokens"] for event in events] == [1, 2, 3, 3]

    with_api(tmp_path, use)


def test_a_client_that_wants_token_ids_gets_each_in_its_own_event(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        events = await events_of(api, "/v1/completions", {"prompt": "abc", "return_token_ids": True})
        assert [event["choices"][0]["text"] for event in events] == ["a", "", "é", ""]
        assert [event["choices"][0]["token_ids"] for event in events] == [
            [97],
            *[[byte] for byte in "é".encode()],
            [EOS],
        ]

    with_api(tmp_path, use, "aé")


def test_a_chat_goes_through_the_template_and_fills_its_limit(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        body = {"messages": CHAT, "max_completion_tokens": 4}
        reply = (await api.http.post("/v1/chat/completions", json=body)).json()
        assert reply["choices"][0]["message"] == {"content": "Once", "role": "assistant", "refusal": None}
        assert reply["usage"]["prompt_tokens"] == len("<user>hi") + 1 + len("<assistant>")

    with_api(tmp_path, use)


def test_a_streamed_chat_begins_with_text_and_ends_with_a_reason(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        events = await events_of(api, "/v1/chat/completions", {"messages": CHAT})
        choices = [event["choices"][0] for event in events]
        assert choices[0]["delta"] == {"role": "assistant", "content": "a"}
        assert choices[1]["delta"] == {"content": "b"}
        assert choices[2].pop("timing")["num_stalls"] == 0
        assert choices[2] == {"delta": {}, "finish_reason": "stop", "index": 0, "logprobs": None}

    with_api(tmp_path, use, "ab")


def test_a_chat_without_a_limit_ends_when_the_context_is_full(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        reply = (await api.http.post("/v1/chat/completions", json={"messages": CHAT})).json()
        assert reply["choices"][0]["finish_reason"] == "length"
        assert reply["usage"]["total_tokens"] == MAX_MODEL_LEN

    with_api(tmp_path, use, ends=False)


def test_stop_strings_work_over_http(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        events = await events_of(api, "/v1/completions", {"prompt": "x", "max_tokens": 100, "stop": ["time"]})
        assert "".join(event["choices"][0]["text"] for event in events) == "Once upon a "
        assert events[-1]["choices"][0]["finish_reason"] == "stop"

    with_api(tmp_path, use)


@pytest.mark.parametrize("stop", [{"stop": ["up", "time"]}, {"stop_token_ids": [ord("p")]}])
def test_what_stops_a_text_ends_it_where_it_is_to_be_shown(tmp_path: Path, stop: dict[str, Any]) -> None:
    async def use(api: Api) -> None:
        body = {"prompt": "x", "max_tokens": 100, "include_stop_str_in_output": True, **stop}
        (choice,) = (await api.http.post("/v1/completions", json=body)).json()["choices"]
        assert (choice["text"], choice["finish_reason"]) == ("Once up", "stop")

    with_api(tmp_path, use)


def test_offsets_are_those_of_the_text_that_is_shown(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        body = {"prompt": [EOS, *token_ids("é!")], "max_tokens": 2, "echo": True, "logprobs": 0}
        (choice,) = (await api.http.post("/v1/completions", json=body)).json()["choices"]
        assert choice["text"] == "é!On"
        assert choice["logprobs"]["text_offset"] == [0, 0, 1, 1, 2, 3]

    with_api(tmp_path, use)


def test_tokens_come_back_as_the_text_that_they_are_of(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        post = api.http.post
        body = {"messages": CHAT, "return_token_strs": True}
        found = (await post("/tokenize", json=body)).json()
        text = (await post("/detokenize", json={"tokens": found["tokens"]})).json()["prompt"]
        assert text == "".join(found["token_strs"]) == "<user>hi<eos><assistant>"
        again = (await post("/tokenize", json={"prompt": text, "add_special_tokens": False})).json()
        assert again["tokens"] == found["tokens"]
        assert_refused(await post("/detokenize", json={"tokens": [999]}), 400, "tokens")
        assert_refused(await post("/tokenize", json={**body, "add_special_tokens": True}), 400, "add_special_tokens")

    with_api(tmp_path, use)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "<user>hi<eos><assistant>"),
        ({"add_generation_prompt": False}, "<user>hi<eos>"),
        ({"add_generation_prompt": False, "continue_final_message": True}, "<user>hi"),
    ],
)
def test_a_conversation_ends_where_it_is_to(tmp_path: Path, fields: dict[str, Any], text: str) -> None:
    async def use(api: Api) -> None:
        tokens = (await api.http.post("/tokenize", json={"messages": CHAT, **fields})).json()["tokens"]
        assert (await api.http.post("/detokenize", json={"tokens": tokens})).json() == {"prompt": text}
        body = {"messages": CHAT, "max_tokens": 1, "return_token_ids": True, **fields}
        (choice,) = (await api.http.post("/v1/chat/completions", json=body)).json()["choices"]
        assert choice["prompt_token_ids"] == tokens

    with_api(tmp_path, use)


def test_a_conversation_that_can_not_be_a_prompt_is_refused_by_name(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        post, path = api.http.post, "/v1/chat/completions"
        for name, value in (("continue_final_message", True), ("chat_template_kwargs", {"enable_thinking": False})):
            assert_refused(await post(path, json={"messages": CHAT, name: value}), 400, name)

    with_api(tmp_path, use)


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_client_that_goes_away_ends_its_request(tmp_path: Path, is_streamed: bool) -> None:
    async def use(api: Api) -> None:
        reader, writer = await asyncio.open_unix_connection(api.socket_path)
        body = json.dumps({"prompt": "x", "max_tokens": 400, "stream": is_streamed}).encode()
        writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        while not api.engine.num_in_flight:
            await asyncio.sleep(0)
        if is_streamed:
            await reader.readuntil(b"data: ")
        writer.close()
        stats = await api.ended.get()
        assert stats.finish_reason is FinishReason.CANCELLED
        assert stats.num_output_tokens < 100
        assert api.engine.num_in_flight == 0

    with_api(tmp_path, use, ends=False, pace_s=0.02)


def test_the_records_client_is_the_peer_and_its_user(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        await api.http.post("/v1/completions", json={"prompt": "x", "max_tokens": 1, "user": "eve\x1b[2J"})
        uid, pid, command = (await api.ended.get()).client.split("/")
        assert (int(uid), int(pid)) == (os.getuid(), os.getpid())
        assert command.endswith(" eve[2J")

    with_api(tmp_path, use)


def test_streamed_tokens_have_delivered_gaps(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        await events_of(api, "/v1/completions", {"prompt": "x", "max_tokens": 8})
        assert (await api.ended.get()).delivered_tbt_max_s is not None

    with_api(tmp_path, use)
