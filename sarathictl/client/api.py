"""The daemon's HTTP API over its Unix socket: plain calls, and streams of server-sent events."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from sarathictl.client.http_response import EventStream, JSONObject, JSONResponse
from sarathid.errors import NotPermitted, NotReachable

READ_BYTES = 1 << 16
PLAIN_TIMEOUT_S = 10.0


class TimedEvent(NamedTuple):
    """One event of a stream and the monotonic second at which its bytes were read from the socket."""

    time_s: float
    event: JSONObject


@asynccontextmanager
async def stream_completion(socket_path: Path, body: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[TimedEvent]]:
    """Ask for a completion (a chat completion when `body` has `messages`) and give its events.

    Leaving the context closes the connection, which cancels the request if it runs. Raises
    `NotReachable` when nobody answers; iterating raises what the daemon refused with.
    """
    with _reachable(socket_path):
        reader, writer = await asyncio.open_unix_connection(socket_path)
    try:
        writer.write(_completion_request(body))
        async with aclosing(_read_events(socket_path, reader)) as events:
            yield events
    finally:
        writer.close()
        with suppress(OSError):  # the daemon may have gone first
            await writer.wait_closed()


def iterate_completion(socket_path: Path, body: Mapping[str, Any]) -> Generator[TimedEvent, None, None]:
    """Like `stream_completion`, for code without an event loop; closing the iterator cancels the request."""
    stream = EventStream()
    with _connection(socket_path, timeout_s=None) as connection:
        connection.sendall(_completion_request(body))
        while not stream.is_complete:
            data = connection.recv(READ_BYTES)
            time_s = time.monotonic()
            for event in stream.feed(data):
                yield TimedEvent(time_s, event)


def get_json(socket_path: Path, path: str, timeout_s: float = PLAIN_TIMEOUT_S) -> JSONObject:
    """Return the JSON object at `path`; raises `NotReachable` or what the daemon refused with."""
    return _exchange(socket_path, _request("GET", path), timeout_s)


def post_json(
    socket_path: Path, path: str, body: Mapping[str, Any], timeout_s: float | None = PLAIN_TIMEOUT_S
) -> JSONObject:
    """Return the JSON object that answers `body`; raises `NotReachable` or what the daemon refused with."""
    return _exchange(socket_path, _request("POST", path, body), timeout_s)


async def _read_events(socket_path: Path, reader: asyncio.StreamReader) -> AsyncGenerator[TimedEvent, None]:
    stream = EventStream()
    while not stream.is_complete:
        with _reachable(socket_path):
            data = await reader.read(READ_BYTES)
        time_s = time.monotonic()
        for event in stream.feed(data):
            yield TimedEvent(time_s, event)


def _exchange(socket_path: Path, request: bytes, timeout_s: float | None) -> JSONObject:
    response = JSONResponse()
    with _connection(socket_path, timeout_s) as connection:
        connection.sendall(request)
        while (answer := response.feed(connection.recv(READ_BYTES))) is None:
            pass
    return answer


@contextmanager
def _connection(socket_path: Path, timeout_s: float | None) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection, _reachable(socket_path):
        connection.settimeout(timeout_s)
        connection.connect(str(socket_path))
        yield connection


@contextmanager
def _reachable(socket_path: Path) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise NotReachable(f"the daemon at {socket_path} did not answer in time") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotReachable(f"nobody answers at {socket_path}; start the daemon with `sarathid serve`") from error
    except PermissionError as error:
        raise NotPermitted(f"{socket_path} is closed to you; ask for a role at the daemon") from error
    except OSError as error:
        raise NotReachable(f"the daemon at {socket_path} is not reachable: {error.strerror}") from error


def _completion_request(body: Mapping[str, Any]) -> bytes:
    path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
    return _request("POST", path, {**body, "stream": True})


def _request(method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
    """Return the bytes of one HTTP/1.1 request whose connection ends with its response."""
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: sarathid\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content
