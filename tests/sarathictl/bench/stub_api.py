"""An HTTP API whose streams advance by one token whenever a long prompt was answered: no clock, no model."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
PROMPT_LEN = 40


def event(**fields: Any) -> bytes:
    data = f"data: {json.dumps(fields)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def token(token_id: int) -> bytes:
    return event(choices=[{"token_ids": [token_id], "text": "x"}])


def refusal(message: str) -> bytes:
    content = json.dumps({"error": {"message": message}}).encode()
    return b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)


class StubAPI:
    """Serves at a Unix socket; prompts of `PROMPT_LEN` tokens or more count as long.

    `refused` long prompts (by order) are answered with an error, those in `ignored` never.
    """

    def __init__(self, refused: frozenset[int] = frozenset(), ignored: frozenset[int] = frozenset()) -> None:
        self.bodies: list[dict[str, Any]] = []
        self._refused = refused
        self._ignored = ignored
        self._num_prompts = 0
        self._streams: list[asyncio.StreamWriter] = []

    async def serve(self, socket_path: Path) -> asyncio.Server:
        return await asyncio.start_unix_server(self._handle, socket_path)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length:")[1].split()[0])
        body = json.loads(await reader.readexactly(length))
        self.bodies.append(body)
        if len(body["prompt"]) >= PROMPT_LEN:
            self._answer_prompt(writer)
        else:
            writer.write(HEAD + token(1))
            self._streams.append(writer)
        await reader.read()  # until the client is gone
        writer.close()

    def _answer_prompt(self, writer: asyncio.StreamWriter) -> None:
        number = self._num_prompts
        self._num_prompts += 1
        if number in self._refused:
            writer.write(refusal("no room"))
        elif number not in self._ignored:
            writer.write(HEAD + token(1) + token(2) + END)
            for stream in self._streams:
                stream.write(token(1))


@contextmanager
def serving(api: StubAPI, socket_path: Path) -> Iterator[None]:
    """Serve `api` from a thread of its own, for callers that run event loops themselves."""
    is_serving = threading.Event()
    stops: list[Callable[[], object]] = []

    async def serve() -> None:
        is_over = asyncio.Event()
        loop = asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(is_over.set))
        async with await api.serve(socket_path):
            is_serving.set()
            await is_over.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert is_serving.wait(10.0)
    try:
        yield
    finally:
        stops[0]()
        thread.join()
