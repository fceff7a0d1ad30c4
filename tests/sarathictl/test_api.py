"""The HTTP client against a small server on a Unix socket."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sarathictl.client.api import get_json, iterate_completion, post_json, stream_completion
from sarathid.errors import NotReachable, QueueFull, RequestRefused, SarathiError

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def chunk(text: str) -> bytes:
    data = text.encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(**fields: Any) -> bytes:
    return chunk(f"data: {json.dumps(fields)}\n\n")


def plain(status: str, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


class StubServer:
    """Answers each connection with the pieces it was given, and keeps what it was asked."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.path = ""
        self.body: dict[str, Any] = {}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.path = head.split()[1]
        length = int(head.lower().split("content-length:")[1].split()[0])
        if length:
            self.body = json.loads(await reader.readexactly(length))
        for piece in self.pieces:
            writer.write(piece)
            await writer.drain()
        writer.close()


def call_with(handler: Handler, socket_path: Path, client: Callable[[], Any]) -> Any:
    """Run blocking `client` while `handler` serves at `socket_path`."""

    async def main() -> Any:
        async with await asyncio.start_unix_server(handler, socket_path):
            return await asyncio.to_thread(client)

    return asyncio.run(main())


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "api.sock"


async def collect(socket_path: Path, body: dict[str, Any]) -> list[tuple[float, dict[str, Any]]]:
    async with stream_completion(socket_path, body) as events:
        return [(time_s, event) async for time_s, event in events]


def stream_from(server: StubServer, socket_path: Path, body: dict[str, Any]) -> list[tuple[float, dict[str, Any]]]:
    async def main() -> list[tuple[float, dict[str, Any]]]:
        async with await asyncio.start_unix_server(server.handle, socket_path):
            return await collect(socket_path, body)

    return asyncio.run(main())


def test_events_are_given_in_order_with_rising_times(socket_path: Path) -> None:
    server = StubServer(HEAD, event(n=1), event(n=2), event(n=3), chunk("data: [DONE]\n\n"), END)

    timed = stream_from(server, socket_path, {"prompt": "x"})

    assert [event["n"] for _, event in timed] == [1, 2, 3]
    assert [time_s for time_s, _ in timed] == sorted(time_s for time_s, _ in timed)
    assert (server.path, server.body) == ("/v1/completions", {"prompt": "x", "stream": True})


def test_a_body_with_messages_is_a_chat(socket_path: Path) -> None:
    server = StubServer(HEAD, chunk("data: [DONE]\n\n"), END)

    assert stream_from(server, socket_path, {"messages": []}) == []
    assert server.path == "/v1/chat/completions"


def test_an_event_may_arrive_in_pieces_and_comments_are_skipped(socket_path: Path) -> None:
    server = StubServer(HEAD, chunk(': ping\n\ndata: {"te'), chunk('xt":"é"}\r\n\r\n'), chunk("data: [DONE]\n\n"), END)

    assert [event for _, event in stream_from(server, socket_path, {})] == [{"text": "é"}]


def test_a_refused_stream_raises_the_daemons_message_and_field(socket_path: Path) -> None:
    server = StubServer(plain("400 Bad Request", {"error": {"message": "too long", "param": "prompt"}}))

    with pytest.raises(RequestRefused, match="too long") as refused:
        stream_from(server, socket_path, {})
    assert refused.value.param == "prompt"


def test_a_failure_in_mid_stream_raises_the_daemons_message(socket_path: Path) -> None:
    server = StubServer(HEAD, event(n=1), event(error={"message": "the engine died"}))

    with pytest.raises(SarathiError, match="the engine died"):
        stream_from(server, socket_path, {})


def test_a_stream_that_ends_before_done_is_an_error(socket_path: Path) -> None:
    with pytest.raises(NotReachable, match="before its answer was complete"):
        stream_from(StubServer(HEAD, event(n=1)), socket_path, {})


def test_leaving_the_stream_closes_the_connection(socket_path: Path) -> None:
    went_away = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + event(n=1))
        await reader.read()  # until the client is gone
        writer.close()
        went_away.set()

    async def main() -> None:
        async with await asyncio.start_unix_server(serve, socket_path):
            async with stream_completion(socket_path, {}) as events:
                await anext(events)
            await went_away.wait()

    asyncio.run(main())


def test_streams_are_read_without_an_event_loop_too(socket_path: Path) -> None:
    server = StubServer(HEAD, event(n=1), event(n=2), chunk("data: [DONE]\n\n"), END)

    timed = call_with(server.handle, socket_path, lambda: list(iterate_completion(socket_path, {"prompt": "x"})))

    assert [event["n"] for _, event in timed] == [1, 2]


def test_plain_calls_return_the_object(socket_path: Path) -> None:
    server = StubServer(plain("200 OK", {"status": "ready"}))

    assert call_with(server.handle, socket_path, lambda: get_json(socket_path, "/ready")) == {"status": "ready"}
    assert call_with(server.handle, socket_path, lambda: post_json(socket_path, "/x", {"a": 1})) == {"status": "ready"}
    assert (server.path, server.body) == ("/x", {"a": 1})


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("404 Not Found", RequestRefused),
        ("429 Too Many Requests", QueueFull),
        ("503 Service Unavailable", QueueFull),
        ("500 Internal Server Error", SarathiError),
    ],
)
def test_each_status_has_its_error(socket_path: Path, status: str, error: type[SarathiError]) -> None:
    server = StubServer(plain(status, {"error": {"message": "no"}}))

    with pytest.raises(SarathiError, match="no") as raised:
        call_with(server.handle, socket_path, lambda: get_json(socket_path, "/"))
    assert type(raised.value) is error


def test_nobody_at_the_socket_is_said(socket_path: Path) -> None:
    with pytest.raises(NotReachable, match="start the daemon"):
        get_json(socket_path, "/ready")
    with pytest.raises(NotReachable, match="start the daemon"):
        asyncio.run(collect(socket_path, {}))


def test_something_else_than_http_is_said(socket_path: Path) -> None:
    with pytest.raises(NotReachable, match="does not speak HTTP"):
        call_with(StubServer(b"hello\r\n").handle, socket_path, lambda: get_json(socket_path, "/"))
