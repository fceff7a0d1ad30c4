"""Programs that others wrote, unmodified, against a live daemon; one that is not installed is skipped by its name."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from sarathid.config import DEFAULT_MODEL
from sarathid.paths import API_SOCKET
from tests.end_to_end.loopback import KEY, Loopback
from tests.end_to_end.other_python import python_with
from tests.end_to_end.running_daemon import RunningDaemon, serving, wait_until

MESSAGES: list[Any] = [{"role": "user", "content": "Name a colour."}]
BODY = {"messages": MESSAGES, "max_tokens": 8, "temperature": 0}
PROGRAMS = Path(__file__).with_name("programs")


def socket_of(daemon: RunningDaemon) -> str:
    return os.fspath(daemon.runtime_dir / API_SOCKET)


def async_openai(daemon: RunningDaemon, *, max_retries: int, **settings: Any) -> openai.AsyncOpenAI:
    """Return OpenAI's asynchronous client over the Unix socket; `settings` are those of its HTTP client."""
    transport = httpx.AsyncHTTPTransport(uds=socket_of(daemon))
    http_client: Any = httpx.AsyncClient(transport=transport, timeout=600, **settings)
    return openai.AsyncOpenAI(
        base_url="http://daemon/v1", api_key="none", http_client=http_client, max_retries=max_retries
    )


@pytest.fixture(scope="module")
def expected(daemon: RunningDaemon) -> str:
    """What the daemon answers to `BODY`."""
    with daemon.http() as client:
        text: str = client.post("/v1/chat/completions", json=BODY).json()["choices"][0]["message"]["content"]
    assert text
    return text


def streamed_text(lines: list[str]) -> str:
    """Return the text in the lines of a stream of events, which must have an end."""
    payloads = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert payloads.pop() == "[DONE]"
    choices = [choice for payload in payloads for choice in json.loads(payload)["choices"]]
    return "".join(choice["delta"].get("content", "") for choice in choices)


def test_curl_streams_over_the_socket(daemon: RunningDaemon, expected: str) -> None:
    if (curl := shutil.which("curl")) is None:
        pytest.skip("curl is not installed")
    body = json.dumps({**BODY, "stream": True})
    command = [curl, "-sS", "--fail", "-N", "--unix-socket", socket_of(daemon)]
    done = subprocess.run(
        [*command, "http://sarathid/v1/chat/completions", "-d", body], capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stderr
    assert streamed_text(done.stdout.splitlines()) == expected


def test_httpx_streams_over_the_socket(daemon: RunningDaemon, expected: str) -> None:
    async def main() -> list[str]:
        transport = httpx.AsyncHTTPTransport(uds=socket_of(daemon))
        async with (
            httpx.AsyncClient(transport=transport, timeout=120) as client,
            client.stream("POST", "http://sarathid/v1/chat/completions", json={**BODY, "stream": True}) as response,
        ):
            return [line async for line in response.aiter_lines()]

    assert streamed_text(asyncio.run(main())) == expected


def test_aiohttp_streams_over_the_socket(daemon: RunningDaemon, expected: str) -> None:
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")

    async def main() -> list[str]:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=socket_of(daemon))) as session,
            session.post("http://sarathid/v1/chat/completions", json={**BODY, "stream": True}) as response,
        ):
            return [line.decode().rstrip() async for line in response.content]

    assert streamed_text(asyncio.run(main())) == expected


def test_openais_client_streams_over_the_loopback_interface(loopback: Loopback, expected: str) -> None:
    with openai.OpenAI(base_url=f"{loopback.url}/v1", api_key=KEY) as client:
        stream = client.chat.completions.create(
            model=DEFAULT_MODEL, messages=MESSAGES, max_tokens=8, temperature=0, stream=True
        )
        assert "".join(event.choices[0].delta.content or "" for event in stream) == expected


def test_openais_client_raises_what_it_has_for_a_refusal(loopback: Loopback) -> None:
    with openai.OpenAI(base_url=f"{loopback.url}/v1", api_key=KEY, max_retries=0) as client:
        asked: dict[str, Any] = {"model": DEFAULT_MODEL, "prompt": "a", "max_tokens": 1}
        with pytest.raises(openai.BadRequestError) as refused:
            client.completions.create(**asked | {"suffix": "b"})
        with pytest.raises(openai.BadRequestError) as too_long:
            client.completions.create(**asked | {"prompt": [1] * 9000})
        with pytest.raises(openai.NotFoundError) as unknown:
            client.completions.create(**asked | {"model": "other"})
        with pytest.raises(openai.AuthenticationError) as stranger:
            client.with_options(api_key="wrong").completions.create(**asked)

    assert (refused.value.param, refused.value.type) == ("suffix", "invalid_request_error")
    assert too_long.value.code == "context_length_exceeded"
    assert (unknown.value.param, unknown.value.code) == ("model", "model_not_found")
    assert stranger.value.code == "invalid_api_key"
    assert refused.value.request_id


def gone_through(module: str, program: str, loopback: Loopback) -> Any:
    """Return what a program of `programs` tells of its chats by means of a library."""
    question = {"url": loopback.url, "key": KEY, "model": DEFAULT_MODEL, "body": BODY}
    done = subprocess.run(
        [python_with(module), os.fspath(PROGRAMS / program)],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_litellm_chats_and_raises_what_it_has_for_a_refusal(loopback: Loopback, expected: str) -> None:
    assert gone_through("litellm", "litellm_chat.py", loopback) == {
        "whole": expected,
        "num_output_tokens": 8,
        "streamed": expected,
        "by coroutine": expected,
        "second": "length",
        "too long": "ContextWindowExceededError",
        "no such model": "NotFoundError",
        "no such key": "AuthenticationError",
    }


def test_langchain_chats_and_gets_what_has_a_structure(loopback: Loopback, expected: str) -> None:
    assert gone_through("langchain_openai", "langchain_chat.py", loopback) == {
        "whole": expected,
        "num_output_tokens": 8,
        "streamed": expected,
        "second": "length",
        "structured": "bool",
    }


def test_llm_chats_with_a_model_of_its_list(loopback: Loopback, expected: str, tmp_path: Path) -> None:
    python = python_with("llm")
    model = {"model_id": "here", "model_name": DEFAULT_MODEL, "api_base": f"{loopback.url}/v1", "api_key_name": "here"}
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps([model]))
    command = [python, "-m", "llm", "-m", "here", "--key", KEY, "-o", "max_tokens", "8", "-o", "temperature", "0"]
    for how in ("--no-log", "--no-stream"):
        done = subprocess.run(
            [*command, how, MESSAGES[0]["content"]],
            capture_output=True,
            text=True,
            timeout=240,
            env=os.environ | {"LLM_USER_PATH": os.fspath(tmp_path)},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == expected.strip()


def test_openais_asynchronous_client_streams_many_answers_at_once(daemon: RunningDaemon, expected: str) -> None:
    async def answer(client: openai.AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(
            model="smollm2-135m", messages=MESSAGES, max_tokens=8, temperature=0, stream=True
        )
        return "".join([event.choices[0].delta.content or "" async for event in stream])

    async def main() -> list[str]:
        async with async_openai(daemon, max_retries=0) as client:
            return await asyncio.gather(*(answer(client) for _ in range(4)))

    assert asyncio.run(main()) == [expected] * 4


def test_openais_client_comes_back_when_there_is_room(tmp_path: Path) -> None:
    statuses: list[int] = []

    async def note(response: httpx.Response) -> None:
        statuses.append(response.status_code)

    async def main(daemon: RunningDaemon) -> str:
        async with async_openai(daemon, max_retries=8, event_hooks={"response": [note]}) as client:

            async def complete(max_tokens: int) -> str:
                options: Any = {"extra_body": {"ignore_eos": True}}
                found = await client.completions.create(model=served, prompt="a", max_tokens=max_tokens, **options)
                return str(found.choices[0].finish_reason)

            served = (await client.models.list()).data[0].id
            await complete(2)  # the daemon tells from what it served how long to stay away
            running = asyncio.create_task(complete(200))  # six seconds
            await asyncio.to_thread(wait_until, lambda: daemon.status().num_running == 1, "one runs")
            waiting = asyncio.create_task(complete(2))
            await asyncio.to_thread(wait_until, lambda: daemon.status().num_waiting == 1, "one waits")
            reasons = await asyncio.gather(complete(2), waiting, running)
            return reasons[0]

    flags = ("--simulate", "a100/yi-34b-tp2", "--max-num-seqs", "1", "--max-queue-len", "1")
    with serving(tmp_path / "run", *flags) as daemon:
        assert asyncio.run(main(daemon)) == "length"
    assert statuses[0] == statuses[-1] == 200
    assert 429 in statuses
