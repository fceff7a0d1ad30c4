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

from sarathid.paths import API_SOCKET
from tests.end_to_end.running_daemon import RunningDaemon, serving, wait_until

MESSAGES: list[Any] = [{"role": "user", "content": "Name a colour."}]
BODY = {"messages": MESSAGES, "max_tokens": 8, "temperature": 0}


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
