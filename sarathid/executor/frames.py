"""Messages on a stream of bytes: each behind its length."""

import asyncio
import contextlib
import socket
import struct
from typing import Protocol

from sarathid.errors import CodecError
from sarathid.protocol.codec import MAX_FRAME_BYTES

_LENGTH = struct.Struct("<I")


class Stream(Protocol):
    """What bytes come from, at most as many as are asked for; none only at its end."""

    def read(self, num_bytes: int, /) -> bytes: ...


class FrameSocket:
    """A connected socket for messages; it can be waited on, and reads no more than the message that it returns."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def fileno(self) -> int:
        return self.connection.fileno()

    def read(self, num_bytes: int) -> bytes:
        return self.connection.recv(num_bytes, socket.MSG_WAITALL)  # no promise where there is a timeout or a signal

    def receive(self) -> bytes | None:
        """Wait for the next message; None when the peer is gone, or talks nonsense."""
        try:
            return read_frame(self)
        except (OSError, CodecError):
            return None

    def send(self, body: bytes) -> None:
        """Send a message; one to a peer that is gone is lost, as `receive` will tell whoever waits for the socket."""
        try:
            self.connection.sendall(framed(body))
        except OSError:
            with contextlib.suppress(OSError):  # the peer's end may have ended ours
                self.connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.connection.close()


def framed(body: bytes) -> bytes:
    """Return `body` behind its length."""
    return _LENGTH.pack(len(body)) + body


def read_frame(stream: Stream) -> bytes:
    """Wait for the next message; raises `CodecError` where it is too long, or the stream ends before it does."""
    return _read_all(stream, _length(_read_all(stream, _LENGTH.size)))


async def receive_frame(stream: asyncio.StreamReader) -> bytes:
    """Wait for the next message; raises `CodecError` when it is too long, `IncompleteReadError` when it ends early."""
    return await stream.readexactly(_length(await stream.readexactly(_LENGTH.size)))


def _length(head: bytes) -> int:
    length: int = _LENGTH.unpack(head)[0]
    if length > MAX_FRAME_BYTES:
        raise CodecError(f"a message of {length} bytes is longer than the {MAX_FRAME_BYTES} allowed")
    return length


def _read_all(stream: Stream, num_bytes: int) -> bytes:
    found = bytearray()
    while len(found) < num_bytes:
        part = stream.read(num_bytes - len(found))
        if not part:
            raise CodecError("the stream ended within a message")
        found += part
    return bytes(found)
