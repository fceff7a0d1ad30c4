"""The HTTP API on a Unix socket in front of a reciting engine, and a client of it."""

import asyncio
import json
import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sarathid.clock import MonotonicClock
from sarathid.config import Grants
from sarathid.engine.client import EngineClient
from sarathid.protocol.control import DaemonState
from sarathid.protocol.stats import RequestStats, StreamRecord
from sarathid.server.access import Access
from sarathid.server.admission import Admission
from sarathid.server.api_keys import APIKeys
from sarathid.server.availability import Availability
from sarathid.server.http import HTTPServer, listen_on_loopback
from sarathid.server.openai.app import OpenAIServer
from sarathid.server.retry_advice import RetryAdvice
from sarathid.telemetry.board import Board
from sarathid.telemetry.exposition import counter, gauge
from sarathid.telemetry.tracing import RequestTracer
from tests.server.byte_tokenizer import make_tokenizer
from tests.server.scripted_engine import SCRIPT, scripted_engine

MODEL = "reciter"
KEYS = {"web-7": "k" * 40}


@dataclass
class Api:
    """A running API; `ended` gets each request's record."""

    http: httpx.AsyncClient
    socket_path: Path
    port: int
    engine: EngineClient
    availability: Availability
    ended: "asyncio.Queue[RequestStats]"


@asynccontextmanager
async def serve_api(
    directory: Path,
    script: str = SCRIPT,
    *,
    ends: bool = True,
    pace_s: float = 0.0,
    max_queue_len: int = 1024,
    max_client_requests: int = 100,
    is_owner: bool = True,
    grants: Grants = Grants(),  # noqa: B008 (frozen)
    tracer: RequestTracer | None = None,
) -> AsyncIterator[Api]:
    """Serve the API in `directory` until the context is left; unless `is_owner`, to a stranger."""
    socket_path = directory / "api.sock"
    async with scripted_engine(script, ends=ends, pace_s=pace_s, max_queue_len=max_queue_len) as engine:
        ended: asyncio.Queue[RequestStats] = asyncio.Queue()

        def observe(record: StreamRecord) -> None:
            if isinstance(record, RequestStats):
                ended.put_nowait(record)

        engine.subscribe(observe)
        availability = Availability()
        availability.become(DaemonState.READY, "ready")
        clock, board = MonotonicClock(), Board()
        engine.subscribe(board.observe)
        if tracer is not None:
            engine.subscribe(tracer.observe)
        advice = RetryAdvice(engine, board, clock)
        admission = Admission(engine, advice, max_client_requests, clock, on_empty=lambda: None)
        server = OpenAIServer(
            engine,
            make_tokenizer(),
            Access(grants, os.getuid() if is_owner else os.getuid() + 1),
            APIKeys(KEYS),
            availability,
            admission,
            MODEL,
            lambda: [counter("sarathid_iterations", "Iterations.", 1), gauge("sarathid_num_requests_running", "R.", 2)],
            clock,
            random.Random(1),
            tracer,
        )
        http_server = HTTPServer(server.app())
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.fspath(socket_path))
        listener.listen()
        loopback = listen_on_loopback(0)
        port = loopback.getsockname()[1]
        serving = asyncio.create_task(http_server.serve(sockets=[listener, loopback]))
        transport = httpx.AsyncHTTPTransport(uds=os.fspath(socket_path))
        async with httpx.AsyncClient(transport=transport, base_url="http://daemon", timeout=30) as client:
            yield Api(client, socket_path, port, engine, availability, ended)
        http_server.should_exit = True
        await serving


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


def assert_refused(response: httpx.Response, status: int, param: str | None = None) -> None:
    error = response.json()["error"]
    assert response.status_code == status
    assert error["param"] == param
    assert error["message"]
    assert set(error) == {"message", "type", "param", "code"}


def usage(num_prompt: int, num_output: int, num_cached: int = 0) -> dict[str, Any]:
    """Return what a reply says was used."""
    return {
        "prompt_tokens": num_prompt,
        "completion_tokens": num_output,
        "total_tokens": num_prompt + num_output,
        "prompt_tokens_details": {"cached_tokens": num_cached},
    }
