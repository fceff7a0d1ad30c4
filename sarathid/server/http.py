"""HTTP/1.1 on sockets that the daemon made: uvicorn, without its signal handlers, knowing its peers."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sarathid.server.peer import Peer

MAX_HEADER_BYTES = 64 << 10


class PeerProtocol(HttpToolsProtocol):
    """Says in `scope["state"]["peer"]` which process is at the other end of a Unix socket, and bounds headers."""

    _num_header_bytes: int | None = None  # None outside of headers

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        is_local = connection is not None and connection.family == socket.AF_UNIX
        self._peer = Peer.of_socket(connection).label if is_local else ""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._num_header_bytes is not None:
            self._num_header_bytes += len(data)
            if self._num_header_bytes > MAX_HEADER_BYTES:
                self.send_400_response("Request headers too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["peer"] = self._peer
        self._num_header_bytes = 0

    def on_headers_complete(self) -> None:
        self._num_header_bytes = None
        super().on_headers_complete()


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

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
