import asyncio
import contextlib
import json
import os
import socket
from pathlib import Path

import pytest

from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import RequestStats
from sarathid.server.http import MAX_HEADER_BYTES
from tests.server.api_server import serve_api


async def answer_to(socket_path: Path, request: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(socket_path)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    async def main() -> bytes:
        async with serve_api(tmp_path) as api:
            return await answer_to(api.socket_path, b"GET /health HTTP/1.1\r\nx: " + b"y" * (MAX_HEADER_BYTES + 1))

    assert asyncio.run(main()).startswith(b"HTTP/1.1 400 ")


LONG_VALUE = b"y" * 2 * MAX_HEADER_BYTES
CHUNKED = b"POST /v1/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /health HTTP/1.1\r\nx: " + LONG_VALUE + b"\r\n\r\n",
        b"GET /health?" + LONG_VALUE + b" HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
        CHUNKED + b"x: " + LONG_VALUE + b"\r\n\r\n",
    ],
)
def test_headers_and_trailers_that_are_too_long_are_refused_also_where_all_of_them_come_at_once(
    tmp_path: Path, request_: bytes
) -> None:
    async def main() -> bytes:
        async with serve_api(tmp_path) as api:
            return await answer_to(api.socket_path, request_)

    answer = asyncio.run(main())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"Request headers too long.")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_long_body_is_not_taken_for_headers(tmp_path: Path) -> None:
    async def main() -> bytes:
        async with serve_api(tmp_path) as api:
            head = b"POST /v1/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            body = b'{"prompt": "x", "max_tokens": 1}' + b" " * 2 * MAX_HEADER_BYTES
            return await answer_to(api.socket_path, head % len(body) + body)

    assert asyncio.run(main()).startswith(b"HTTP/1.1 200 ")


def is_cut_off(socket_path: Path, request: bytes) -> bool:
    """Send, and return whether the connection ended before all of it was taken."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(os.fspath(socket_path))
        try:
            client.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            return True
    return False


@pytest.mark.parametrize(
    "rest", [b"0\r\nx: " + b"y" * (8 << 20), b"0\r\n" + b"x: y\r\n" * (1 << 20), b"5;" + b"y" * (8 << 20)]
)
def test_trailers_and_chunks_without_end_are_refused(tmp_path: Path, rest: bytes) -> None:
    async def main() -> bool:
        async with serve_api(tmp_path) as api:
            head = b"POST /v1/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
            return await asyncio.to_thread(is_cut_off, api.socket_path, head + b"2\r\n{}\r\n" + rest)

    assert asyncio.run(main())


def test_a_body_in_tiny_chunks_is_read(tmp_path: Path) -> None:
    async def main() -> bytes:
        async with serve_api(tmp_path) as api:
            head = b"POST /v1/completions HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
            body = b'{"prompt": "x", "max_tokens": 1}' + b" " * MAX_HEADER_BYTES
            chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
            return await answer_to(api.socket_path, head + chunks + b"0\r\n\r\n")

    assert asyncio.run(main()).startswith(b"HTTP/1.1 200 ")


def test_what_is_not_http_is_refused(tmp_path: Path) -> None:
    async def main() -> bytes:
        async with serve_api(tmp_path) as api:
            return await answer_to(api.socket_path, b"\x16\x03\x01\x02\x00\r\n\r\n")

    assert asyncio.run(main()).startswith(b"HTTP/1.1 400 ")


async def end_of(socket_path: Path, beginning: bytes) -> bytes:
    """Return what comes, after this beginning of a request, before the connection ends, however it does."""
    reader, writer = await asyncio.open_unix_connection(socket_path)
    writer.write(beginning)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()


def test_a_head_that_does_not_come_is_not_waited_for_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sarathid.server.http.HEAD_TIMEOUT_S", 0.05)

    async def main() -> list[bytes]:
        async with serve_api(tmp_path) as api:
            return [await end_of(api.socket_path, head) for head in (b"", b"GET /health HTTP/1.1\r\nx: ")]

    assert asyncio.run(main()) == [b"", b""]


def test_a_client_that_stops_reading_is_dropped_and_its_request_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sarathid.server.http.STUCK_AFTER_S", 0.05)
    asked = {"prompt": "x", "max_tokens": 3000, "logprobs": 20, "return_token_ids": True}  # more than sockets hold
    body = json.dumps({**asked, "stream": True}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)

    async def main() -> RequestStats:
        async with serve_api(tmp_path, "x" * 4000) as api:
            with socket.socket(socket.AF_UNIX) as stuck:
                stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
                stuck.connect(os.fspath(api.socket_path))
                stuck.sendall(head + body)
                return await api.ended.get()

    ended = asyncio.run(main())
    assert ended.finish_reason is FinishReason.CANCELLED
