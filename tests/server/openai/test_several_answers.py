import json
from pathlib import Path
from typing import Any

import httpx

from sarathid.protocol.requests import FinishReason
from tests.server.api_server import Api, assert_refused, events_of, usage, with_api
from tests.server.byte_tokenizer import token_ids
from tests.server.scripted_engine import MAX_MODEL_LEN

CHAT = [{"role": "user", "content": "hi"}]


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


def test_a_request_that_was_let_in_has_all_its_answers_where_no_others_are(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        reply = await complete(api, prompt="x", max_tokens=2, n=8)
        assert [choice["text"] for choice in reply["choices"]] == ["On"] * 8
        assert_refused(await api.http.post("/v1/completions", json={"prompt": ["a", "b", "c"]}), 400, "prompt")

    with_api(tmp_path, use, max_queue_len=2)


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
        assert_refused(await ask(schema({"$ref": "#"})), 400, "response_format")
        assert_refused(await ask({"type": "yaml"}), 400, "response_format.type")
        for name, value in (("ignore_eos", True), ("min_tokens", 2)):
            body = {"prompt": "x", "max_tokens": 4, "response_format": {"type": "json_object"}, name: value}
            assert_refused(await api.http.post("/v1/completions", json=body), 400, name)
        for form in ({"type": "text"}, {"type": "json_object"}, schema({"type": "object"})):
            assert (await ask(form)).status_code == 200

    with_api(tmp_path, use)
