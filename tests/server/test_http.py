import asyncio
from pathlib import Path

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


def test_a_long_body_is_not_taken_for_headers(tmp_path: Path) -> None:
    async def main() -> bytes:
        async with serve_api(tmp_path) as api:
            head = b"POST /v1/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            body = b'{"prompt": "x", "max_tokens": 1}' + b" " * 2 * MAX_HEADER_BYTES
            return await answer_to(api.socket_path, head % len(body) + body)

    assert asyncio.run(main()).startswith(b"HTTP/1.1 200 ")


def test_what_is_not_http_is_refused(tmp_path: Path) -> None:
    async def main() -> bytes:
        async with serve_api(tmp_path) as api:
            return await answer_to(api.socket_path, b"\x16\x03\x01\x02\x00\r\n\r\n")

    assert asyncio.run(main()).startswith(b"HTTP/1.1 400 ")
