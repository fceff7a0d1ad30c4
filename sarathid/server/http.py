"""HTTP/1.1 on sockets that the daemon made: uvicorn, without its signal handlers, knowing and bounding its peers."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sarathid.errors import ConfigError
from sarathid.server.acceptor import Acceptor
from sarathid.server.chunk_writer import ChunkWriter
from sarathid.server.peer import Peer
from sarathid.server.runtime_directory import LISTEN_BACKLOG

MAX_HEADER_BYTES = 64 << 10
HEAD_TIMEOUT_S = 30.0
STUCK_AFTER_S = 30.0
_LONG_HEADERS = "Request headers too long."
_LOOPBACK = "127.0.0.1"


class PeerProtocol(HttpToolsProtocol):
    """Says in `scope["state"]["peer"]` who is at the other end of a Unix socket; None at the end of another socket.

    `scope["state"]["begun_s"]` is when the request began to arrive, the first of a connection with the connection.
    `scope["state"]["chunks"]` writes to its connection while a reply in chunks is under way there.
    Headers and trailers are bounded in length, headers in time. A client that has not read what is written to it after
    `STUCK_AFTER_S` is dropped: until then nothing more is written, and no other client waits for it.
    """

    _num_header_bytes: int | None = None  # None outside of headers
    _num_field_bytes = 0  # of headers and trailers that came whole
    _num_bytes_beside_body = 0  # of lengths of chunks and trailers, since there was a piece of a body
    _begun_s: float | None = None  # None behind the first request
    _head_deadline: asyncio.TimerHandle | None = None
    _read_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begun_s = time.monotonic()
        connection = transport.get_extra_info("socket")
        is_local = connection is not None and connection.family == socket.AF_UNIX
        self._peer = Peer.of_socket(connection) if is_local else None
        self._chunks = ChunkWriter(transport)
        self._head_deadline = self.loop.call_later(HEAD_TIMEOUT_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for deadline in (self._head_deadline, self._read_deadline):
            if deadline is not None:
                deadline.cancel()

    def data_received(self, data: bytes) -> None:
        self._num_bytes_beside_body += len(data)
        super().data_received(data)
        if self._num_header_bytes is not None:
            self._num_header_bytes += len(data)
            if self._num_header_bytes > MAX_HEADER_BYTES:
                self.send_400_response(_LONG_HEADERS)
        elif self._num_bytes_beside_body > MAX_HEADER_BYTES:
            self.send_400_response("Request trailers too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        begun_s = time.monotonic() if self._begun_s is None else self._begun_s
        self._begun_s = None
        self.scope["state"] |= {"peer": self._peer, "chunks": self._chunks, "begun_s": begun_s}
        self._num_header_bytes = self._num_field_bytes = 0
        if self._head_deadline is None:
            self._head_deadline = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def on_url(self, url: bytes) -> None:
        self._count_field(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_field(len(name) + len(": ") + len(value) + len("\r\n"))
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._num_bytes_beside_body = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._num_header_bytes = None
        self._num_bytes_beside_body = 0
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():  # it waits for the client to read the rest
            self._expect_reading()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._expect_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._chunks.pause()
        self._expect_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._read_deadline is not None:
            self._read_deadline.cancel()
            self._read_deadline = None
        self._chunks.resume()

    def _count_field(self, num_bytes: int) -> None:
        """Count what came whole, in however few reads; ends the parsing, by an error, when it is too much."""
        self._num_field_bytes += num_bytes
        if self._num_field_bytes > MAX_HEADER_BYTES:
            self.send_400_response(_LONG_HEADERS)
            raise ValueError(_LONG_HEADERS)

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():  # of several faults the first is told
            super().send_400_response(msg)

    def _expect_reading(self) -> None:
        if self._read_deadline is None:
            self._read_deadline = self.loop.call_later(STUCK_AFTER_S, self.transport.abort)


class HTTPServer(uvicorn.Server):
    """Serves an ASGI application on given sockets until `should_exit` is set; signals are its owner's business."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=PeerProtocol,
                ws="none",
                lifespan="off",
                loop="none",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept on `sockets`, in place of uvicorn's way, which is asyncio's."""
        assert sockets is not None, "the daemon makes its sockets itself"
        connections = self.server_state.connections
        acceptor = Acceptor(sockets, self._make_protocol, lambda: len(connections))
        self.servers = [acceptor]  # type: ignore[list-item]  # it is closed and waited for, no more
        self.started = True

    def _make_protocol(self) -> PeerProtocol:
        return PeerProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen_on_loopback(port: int) -> socket.socket:
    """Return a socket that listens on the loopback interface; port 0 is one that is free.

    Raises `ConfigError` when the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise ConfigError(f"port {port} of {_LOOPBACK} can't be had ({error.strerror}); choose another") from error
    listener.listen(LISTEN_BACKLOG)
    return listener
