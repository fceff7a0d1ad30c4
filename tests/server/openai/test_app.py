import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from sarathid.config import Grants
from sarathid.protocol.control import DaemonState
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.roles import Role
from sarathid.server.openai.sampling import sampling_params
from sarathid.server.openai.schema import MAX_BODY_BYTES, CompletionRequest
from tests.server.api_server import KEYS, MODEL, Api, serve_api
from tests.server.byte_tokenizer import EOS, token_ids
from tests.server.scripted_engine import MAX_MODEL_LEN, SCRIPT

CHAT = [{"role": "user", "content": "hi"}]


def with_api(directory: Path, use: Callable[[Api], Awaitable[None]], script: str = SCRIPT, **pace: Any) -> None:
    async def main() -> None:
        async with serve_api(directory, script, **pace) as api:
            await use(api)

    asyncio.run(main())


async def events_of(api: Api, path: str, body: dict[str, Any]) -> list[Any]:
    """Return the events of a stream, decoded, without the last one, which must be `[DONE]`."""
    async with api.http.stream("POST", path, json=body | {"stream": True}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in response.aiter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def usage(num_prompt: int, num_output: int, num_cached: int = 0) -> dict[str, Any]:
    """Return what a reply says was used."""
    return {
        "prompt_tokens": num_prompt,
        "completion_tokens": num_output,
        "total_tokens": num_prompt + num_output,
        "prompt_tokens_details": {"cached_tokens": num_cached},
    }


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


def assert_refused(response: httpx.Response, status: int, param: str | None = None) -> None:
    error = response.json()["error"]
    assert response.status_code == status
    assert error["param"] == param
    assert error["message"]
    assert set(error) == {"message", "type", "param", "code"}


def test_what_cannot_be_served_is_refused_in_openais_shape(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        post, path = api.http.post, "/v1/completions"
        assert_refused(await post(path, content=b"{"), 400)
        assert_refused(await post(path, json={"prompt": "x", "best_of": 3}), 400, "best_of")
        assert_refused(await post(path, json={"prompt": ""}), 400, "prompt")
        assert_refused(await post(path, json={"prompt": [999]}), 400, "prompt")
        assert_refused(await post(path, json={"prompt": "x" * MAX_MODEL_LEN}), 400, "prompt")
        assert_refused(await post(path, json={"prompt": "x", "model": "gpt-4"}), 404, "model")
        assert_refused(await post(path, content=b" " * (MAX_BODY_BYTES + 1)), 413)
        system = [{"role": "system", "content": "x"}]
        assert_refused(await post("/v1/chat/completions", json={"messages": system}), 400, "messages")
        assert_refused(await api.http.get("/nowhere"), 404)
        assert_refused(await api.http.get(path), 405)
        assert api.engine.num_in_flight == 0

    with_api(tmp_path, use)


def test_a_draining_daemon_says_when_to_come_back(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        api.availability.become(DaemonState.DRAINING, "draining")
        refused = await api.http.post("/v1/completions", json={"prompt": "x"})
        assert_refused(refused, 503)
        assert refused.headers["retry-after"] == "1"
        assert (await api.http.get("/ready")).status_code == 503
        health = await api.http.get("/health")
        assert (health.status_code, health.json()) == (200, {"state": "draining", "reason": "draining"})

    with_api(tmp_path, use)


def test_requests_are_taken_while_the_engine_restarts(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        api.availability.become(DaemonState.RESTARTING, "the engine is gone")
        reply = await api.http.post("/v1/completions", json={"prompt": "x", "max_tokens": 1})
        assert reply.status_code == 200
        assert (await api.http.get("/ready")).status_code == 503

    with_api(tmp_path, use)


def test_a_client_with_too_many_requests_is_refused_before_its_body_is_read(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        body = {"prompt": "x", "stream": True, "max_tokens": 400}
        async with api.http.stream("POST", "/v1/completions", json=body) as first:
            refused = await api.http.post("/v1/completions", content=b"{")
            assert first.status_code == 200
        assert_refused(refused, 429)
        assert refused.json()["error"]["code"] == "queue_full"
        assert int(refused.headers["retry-after"]) >= 1
        await api.ended.get()
        assert (await api.http.post("/v1/completions", json={"prompt": "x", "max_tokens": 1})).status_code == 200

    with_api(tmp_path, use, ends=False, pace_s=0.01, max_client_requests=1)


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_request_ends_at_its_deadline(tmp_path: Path, is_streamed: bool) -> None:
    async def use(api: Api) -> None:
        body = {"prompt": "x", "max_tokens": 400, "timeout": 0.2}
        if is_streamed:
            *_, last = await events_of(api, "/v1/completions", body)
        else:
            last = (await api.http.post("/v1/completions", json=body)).json()
        assert last["choices"][0]["finish_reason"] == "timeout"
        stats = await api.ended.get()
        assert stats.finish_reason is FinishReason.TIMEOUT
        assert 0 < stats.num_output_tokens < 100

    with_api(tmp_path, use, ends=False, pace_s=0.01)


def test_every_reply_has_a_request_id(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        given = await api.http.get("/health", headers={"x-request-id": "mine-1"})
        drawn = await api.http.get("/nowhere", headers={"x-request-id": "bad id"})
        assert given.headers["x-request-id"] == "mine-1"
        assert len(drawn.headers["x-request-id"]) == 32

    with_api(tmp_path, use)


def test_metrics_come_in_the_format_and_by_the_names_that_are_asked_for(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        plain = await api.http.get("/metrics")
        assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "\nsarathid_iterations_total 1\n" in plain.text
        assert "vllm:" not in plain.text
        accept = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.3"}
        openmetrics = await api.http.get("/metrics?names=vllm", headers=accept)
        assert openmetrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        assert openmetrics.text.endswith("# EOF\n")
        assert f'\nvllm:num_requests_running{{model_name="{MODEL}",engine="0"}} 2\n' in openmetrics.text
        assert_refused(await api.http.get("/metrics?names=tgi"), 400, "names")

    with_api(tmp_path, use)


def test_models_and_description_are_served(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        (model,) = (await api.http.get("/v1/models")).json()["data"]
        assert (model["id"], model["max_model_len"]) == (MODEL, MAX_MODEL_LEN)
        assert (await api.http.get(f"/v1/models/{MODEL}")).json() == model
        unknown = await api.http.get("/v1/models/gpt-4")
        assert_refused(unknown, 404, "model")
        assert unknown.json()["error"]["code"] == "model_not_found"
        schemas = (await api.http.get("/openapi.json")).json()["components"]["schemas"]
        assert "CompletionRequest" in schemas

    with_api(tmp_path, use)


async def over_tcp(api: Api, headers: dict[str, str]) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", headers=headers) as client:
        return await client.post("/v1/completions", json={"prompt": "abc", "max_tokens": 4})


def test_the_port_is_open_to_who_has_a_key_and_tells_whose_it_is(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        for headers in ({}, {"authorization": "Bearer " + "x" * 40}, {"authorization": KEYS["web-7"]}):
            refused = await over_tcp(api, headers)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        reply = await over_tcp(api, {"authorization": f"Bearer {KEYS['web-7']}"})
        assert reply.json()["choices"][0]["text"] == "Once"
        assert (await api.ended.get()).client == "key web-7"

    with_api(tmp_path, use)


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/v1/models", "/openapi.json", "/nothing"])
def test_who_has_no_role_is_told_so_whatever_the_path(tmp_path: Path, path: str) -> None:
    async def use(api: Api) -> None:
        refused = await api.http.get(path)
        assert refused.status_code == 403
        assert refused.json()["error"]["type"] == "permission_error"

    with_api(tmp_path, use, is_owner=False)


def test_who_may_only_read_has_nothing_completed(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        assert (await api.http.get("/health")).status_code == 200
        refused = await api.http.post("/v1/completions", json={"prompt": "abc"})
        assert refused.status_code == 403
        assert "needs infer" in refused.json()["error"]["message"]

    with_api(tmp_path, use, is_owner=False, grants=Grants(users={os.getuid(): Role.READ}))


async def complete(api: Api, **body: Any) -> Any:
    """Return the reply to a request for a completion, which must be given."""
    response = await api.http.post("/v1/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_several_prompts_of_any_form_have_answers_in_their_order(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        for prompt in (["ab", "c"], [[97, 98], [99]]):
            reply = await complete(api, prompt=prompt, max_tokens=4, echo=True)
            assert [(choice["index"], choice["text"]) for choice in reply["choices"]] == [(0, "abOnce"), (1, "cOnce")]
            assert reply["usage"] == usage(3, 8)
        post = api.http.post
        for mixed in (["a", [1]], ["a", 1], [1, [1]], [], ["a"] * 129):
            assert_refused(await post("/v1/completions", json={"prompt": mixed}), 400, "prompt")
        too_many = {"prompt": ["a"] * 17, "n": 8}
        assert_refused(await post("/v1/completions", json=too_many), 400, "n")
        assert api.engine.num_in_flight == 0

    with_api(tmp_path, use)


def test_n_answers_compute_their_prompt_once(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        reply = await complete(api, prompt="x" * 40, max_tokens=4, n=3)
        assert [choice["text"] for choice in reply["choices"]] == ["Once"] * 3
        assert reply["usage"] == usage(40, 12)
        assert sorted([(await api.ended.get()).num_cached_tokens for _ in range(3)]) == [0, 36, 36]
        events = await events_of(api, "/v1/chat/completions", {"messages": CHAT, "n": 2, "max_tokens": 3})
        texts = {0: "", 1: ""}
        for event in events:
            (choice,) = event["choices"]
            texts[choice["index"]] += choice["delta"].get("content", "")
        assert texts == {0: "Onc", 1: "Onc"}

    with_api(tmp_path, use)


def test_leaving_ends_all_answers(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        body = {"prompt": ["x", "y"], "n": 2, "max_tokens": 400, "stream": True}
        async with api.http.stream("POST", "/v1/completions", json=body) as response:
            seen: set[int] = set()
            async for line in response.aiter_lines():
                if line:
                    seen.add(json.loads(line.removeprefix("data: "))["choices"][0]["index"])
                if len(seen) == 4:
                    break
        for _ in range(4):
            assert (await api.ended.get()).finish_reason is FinishReason.CANCELLED
        assert api.engine.num_in_flight == 0

    with_api(tmp_path, use, ends=False, pace_s=0.01)


def test_a_completion_tells_how_likely_its_tokens_were_and_its_prompts(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        (choice,) = (await complete(api, prompt="ab", max_tokens=2, echo=True, logprobs=2))["choices"]
        assert choice["text"] == "abOn"
        assert choice["logprobs"] == {
            "tokens": ["a", "b", "O", "n"],
            "token_logprobs": [None, *[-byte / 8 for byte in b"bOn"]],
            "top_logprobs": [
                None,
                *[{"\x00": -0.0, "\x01": -0.125, chr(byte): -byte / 8} for byte in b"bOn"],
            ],
            "text_offset": [0, 1, 2, 3],
        }
        (scored,) = (await complete(api, prompt="ab", max_tokens=0, echo=True, logprobs=1))["choices"]
        assert (scored["text"], scored["logprobs"]["tokens"]) == ("ab", ["a", "b"])
        (plain,) = (await complete(api, prompt="ab", max_tokens=1, logprobs=0))["choices"]
        assert plain["logprobs"]["token_logprobs"] == [-ord("O") / 8]

    with_api(tmp_path, use)


def test_a_streamed_completion_tells_the_same_as_a_whole_one(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        body = {"prompt": ["ab", "c"], "max_tokens": 6, "echo": True, "logprobs": 1}
        whole = (await complete(api, **body))["choices"]
        streamed: list[dict[str, list[Any]]] = [
            {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []} for _ in whole
        ]
        for event in await events_of(api, "/v1/completions", body):
            (choice,) = event["choices"]
            for name, values in choice["logprobs"].items():
                streamed[choice["index"]][name] += values
        assert streamed == [choice["logprobs"] for choice in whole]

    with_api(tmp_path, use, "é😀")


def test_a_chat_tells_how_likely_its_tokens_were(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        body = {"messages": CHAT, "max_tokens": 2, "logprobs": True, "top_logprobs": 1}
        reply = (await api.http.post("/v1/chat/completions", json=body)).json()
        content = reply["choices"][0]["logprobs"]["content"]
        assert content == [
            {
                "token": "\N{REPLACEMENT CHARACTER}",
                "logprob": -byte / 8,
                "bytes": [byte],
                "top_logprobs": [{"token": "\x00", "logprob": -0.0, "bytes": [0]}],
            }
            for byte in "é".encode()
        ]

    with_api(tmp_path, use, "é")


def test_texts_and_tokens_are_told_of_each_other(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        post = api.http.post
        tokens = (await post("/tokenize", json={"prompt": "hé"})).json()
        assert tokens == {"tokens": list(token_ids("hé")), "count": 3, "max_model_len": MAX_MODEL_LEN}
        assert (await post("/detokenize", json={"tokens": tokens["tokens"]})).json() == {"prompt": "hé"}
        chat = (await post("/tokenize", json={"messages": CHAT})).json()
        assert chat["count"] == len("<user>hi") + 1 + len("<assistant>")
        for body in ({}, {"prompt": "x", "messages": CHAT}):
            assert_refused(await post("/tokenize", json=body), 400, "prompt")

    with_api(tmp_path, use)


def test_a_form_that_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        async def ask(form: dict[str, Any]) -> httpx.Response:
            body = {"messages": CHAT, "max_tokens": 2, "response_format": form}
            return await api.http.post("/v1/chat/completions", json=body)

        def schema(value: Any) -> dict[str, Any]:
            return {"type": "json_schema", "json_schema": {"name": "x", "schema": value}}

        assert_refused(await ask(schema({"type": "nothing"})), 400, "response_format")
        assert_refused(await ask(schema({"enum": ["x" * 70_000]})), 400, "response_format")
        assert_refused(await ask({"type": "yaml"}), 400, "response_format.type")
        for form in ({"type": "text"}, {"type": "json_object"}, schema({"type": "object"})):
            assert (await ask(form)).status_code == 200

    with_api(tmp_path, use)
