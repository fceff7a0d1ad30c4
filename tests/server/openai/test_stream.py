import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

from sarathid.protocol.stats import IterationStats, StreamRecord
from tests.server.api_server import Api, serve_api

NUM_TOKENS = 400  # with how likely 20 others were each time, more than sockets hold


def request(body: dict[str, Any], *headers: str) -> bytes:
    """Return the bytes of a request for a streamed completion."""
    content = json.dumps(body | {"stream": True}).encode()
    head = ("POST /v1/completions HTTP/1.1", "host: x", f"content-length: {len(content)}", *headers)
    return "\r\n".join((*head, "", "")).encode() + content


def texts(reply: bytes) -> list[str]:
    """Return the text of each event of a reply in chunks that came to its end."""
    head, _, body = reply.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    content = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        chunk, end, body = rest[: int(size, 16)], rest[int(size, 16) :][:2], rest[int(size, 16) + 2 :]
        assert end == b"\r\n"
        content += chunk
    assert not chunk
    *events, done, rest = content.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    return [json.loads(event.removeprefix(b"data: "))["choices"][0]["text"] for event in events]


def test_answers_to_requests_that_were_sent_at_once_come_one_behind_the_other(tmp_path: Path) -> None:
    async def main() -> bytes:
        async with serve_api(tmp_path) as api:
            reader, writer = await asyncio.open_unix_connection(api.socket_path)
            first, second = {"prompt": "x", "max_tokens": 6}, {"prompt": "y", "max_tokens": 4}
            writer.write(request(first) + request(second, "connection: close"))
            reply = await reader.read()
            writer.close()
            return reply

    first, _, second = asyncio.run(main()).rpartition(b"HTTP/1.1 200 OK")
    assert ["".join(texts(reply)) for reply in (first, b"HTTP/1.1 200 OK" + second)] == ["Once u", "Once"]


async def all_made(api: Api) -> None:
    """Wait until the engine has made the last token of a request."""
    made = asyncio.Event()

    def observe(record: StreamRecord) -> None:
        if isinstance(record, IterationStats) and record.finished:
            made.set()

    api.engine.subscribe(observe)
    await made.wait()


def test_who_reads_late_gets_every_token_in_its_place(tmp_path: Path) -> None:
    script = "".join(chr(ord("a") + number % 26) for number in range(NUM_TOKENS))
    asked = {
        "prompt": "x",
        "max_tokens": NUM_TOKENS,
        "logprobs": 20,
        "return_token_ids": True,
    }

    async def main() -> bytes:
        async with serve_api(tmp_path, script) as api:
            with socket.socket(socket.AF_UNIX) as late:
                late.connect(os.fspath(api.socket_path))
                late.sendall(request(asked, "connection: close"))
                await all_made(api)
                assert api.engine.num_in_flight == 1
                late.setblocking(False)
                reader, writer = await asyncio.open_unix_connection(sock=late)
                reply = await reader.read()
                writer.close()
                assert (await api.ended.get()).num_output_tokens == NUM_TOKENS
                return reply

    assert "".join(texts(asyncio.run(main()))) == script
