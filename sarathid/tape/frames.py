"""The frames of a recording: each checked on its own, so that what is cut or damaged costs one frame and no more."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from sarathid.errors import CodecError

MAX_BODY_BYTES = 64 << 20
MAX_PACKED_BYTES = 16 << 20

_MAGIC = b"srec"
_HEAD = struct.Struct(">4sBqII")  # magic, kind, microseconds, bytes of the body, its CRC-32
_LEVEL = 6


class FrameKind(IntEnum):
    """What a frame's body is."""

    HEADER = 1
    SEGMENT = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """A body as it is stored, compressed, and the monotonic moment at which it begins."""

    kind: FrameKind
    time_s: float
    packed: bytes

    @classmethod
    def of(cls, kind: FrameKind, time_s: float, body: bytes) -> "Frame":
        """Return the frame of a body."""
        return cls(kind, time_s, zlib.compress(body, _LEVEL))

    @property
    def body(self) -> bytes:
        """The body as it was; raises `CodecError` when it is no such, or longer than `MAX_BODY_BYTES`."""
        inflater = zlib.decompressobj()
        try:
            body = inflater.decompress(self.packed, MAX_BODY_BYTES)
        except zlib.error as error:
            raise CodecError(f"a frame can't be decompressed: {error}") from error
        if not inflater.eof:
            raise CodecError(f"a frame is cut or holds more than {MAX_BODY_BYTES} bytes")
        return body

    def to_bytes(self) -> bytes:
        """Return the frame as it stands in a file."""
        head = _HEAD.pack(_MAGIC, self.kind, round(self.time_s * 1e6), len(self.packed), zlib.crc32(self.packed))
        return head + self.packed


def read_frames(data: bytes) -> Iterator[tuple[int, Frame]]:
    """Yield every whole, undamaged frame with where it ends, passing over all that lies between."""
    start = data.find(_MAGIC)
    while start >= 0:
        frame = _frame_at(data, start)
        if frame is None:
            start = data.find(_MAGIC, start + 1)
            continue
        start += _HEAD.size + len(frame.packed)
        yield start, frame
        start = data.find(_MAGIC, start)


def _frame_at(data: bytes, start: int) -> Frame | None:
    if len(data) - start < _HEAD.size:
        return None
    _magic, kind, time_us, num_bytes, checksum = _HEAD.unpack_from(data, start)
    packed = data[start + _HEAD.size : start + _HEAD.size + min(num_bytes, MAX_PACKED_BYTES)]
    if kind not in list(FrameKind) or len(packed) != num_bytes or zlib.crc32(packed) != checksum:
        return None
    return Frame(FrameKind(kind), time_us / 1e6, packed)
