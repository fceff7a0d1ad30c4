import asyncio
import json
import os
from pathlib import Path

import httpx
import pytest

from sarathid.config import Grants
from sarathid.protocol.control import DaemonState
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.roles import Role
from sarathid.server.openai.farewell import ENDED
from sarathid.server.openai.schema import MAX_BODY_BYTES
from tests.server.api_server import KEYS, MODEL, Api, assert_refused, events_of, serve_api, with_api
from tests.server.scripted_engine import MAX_MODEL_LEN

CHAT = [{"role": "user", "content": "hi"}]


def test_what_cannot_be_served_is_refused_in_openais_shape(tmp_path: Path) -> None:
    async def use(api: Api) -> None:
        post, path = api.http.post, "/v1/completions"
        assert_refused(await post(path, content=b"{"), 400)
        assert_refused(await post(path, json={"prompt": "x", "best_of": 3}), 400, "best_of")
        assert_refused(await post(path, json={"prompt": ""}), 400, "prompt")
        assert_refused(await post(path, json={"prompt": "x", "max_tokens": 2, "min_tokens": 3}), 400, "min_tokens")
        assert_refused(await post(path, json={"prompt": [999]}), 400, "prompt")
        too_long = await post(path, json={"prompt": "x" * MAX_MODEL_LEN})
        assert_refused(too_long, 400, "prompt")
        assert too_long.json()["error"]["code"] == "context_length_exceeded"
        long_talk = [{"role": "user", "content": "x" * MAX_MODEL_LEN}]
        assert_refused(await post("/v1/chat/completions", json={"messages": long_talk}), 400, "messages")
        assert_refused(await post(path, json={"prompt": "x", "model": "gpt-4"}), 404, "model")
        assert_refused(await post(path, content=b" " * (MAX_BODY_BYTES + 1)), 413)
        system = [{"role": "system", "content": "x"}]
        assert_refused(await post("/v1/chat/completions", json={"messages": system}), 400, "messages")
        for nowhere, status in ((await post("/v1/embeddings", json={}), 404), (await api.http.get(path), 405)):
            assert_refused(nowhere, status)
            assert "/openapi.json" in nowhere.json()["error"]["message"]
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


def test_who_waits_for_an_answer_when_the_server_ends_is_told_so_in_openais_shape(tmp_path: Path) -> None:
    async def main() -> tuple[bytes, bytes]:
        async with serve_api(tmp_path, ends=False, pace_s=0.01) as api:
            reader, writer = await asyncio.open_unix_connection(api.socket_path)
            body = b'{"prompt": "x", "max_tokens": 400}'
            writer.write(b"POST /v1/completions HTTP/1.1\r\nexpect: 100-continue\r\n")
            writer.write(b"content-length: %d\r\n\r\n%b" % (len(body), body))
            await reader.readuntil(b"100 Continue\r\n\r\n")
        head, answer = (await reader.read()).split(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return head, answer

    head, answer = asyncio.run(main())
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nretry-after: 1\r\n" in head
    assert json.loads(answer)["error"]["message"] == ENDED


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
