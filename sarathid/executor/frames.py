"""Messages on a stream of bytes: each behind its length."""

import struct
from typing import Protocol

from sarathid.errors import CodecError
from sarathid.protocol.codec import MAX_FRAME_BYTES

_LENGTH = struct.Struct("<I")


class Stream(Protocol):
    """What bytes come from; fewer than asked for only at its end."""

    def read(self, num_bytes: int, /) -> bytes: ...


def framed(body: bytes) -> bytes:
    """Return `body` behind its length."""
    return _LENGTH.pack(len(body)) + body


def read_frame(stream: Stream) -> bytes:
    """Wait for the next message; raises `CodecError` where it is too long, or the stream ends before it does."""
    (length,) = _LENGTH.unpack(_read_all(stream, _LENGTH.size))
    if length > MAX_FRAME_BYTES:
        raise CodecError(f"a message of {length} bytes is longer than the {MAX_FRAME_BYTES} allowed")
    return _read_all(stream, length)


def _read_all(stream: Stream, num_bytes: int) -> bytes:
    found = stream.read(num_bytes)
    if len(found) < num_bytes:
        raise CodecError("the stream ended within a message")
    return found
