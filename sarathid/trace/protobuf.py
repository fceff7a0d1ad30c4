"""Fields of a protobuf message as bytes, as far as a trace needs them (protobuf.dev/programming-guides/encoding)."""

import struct

_VARINT, _FIXED64, _LENGTH = 0, 1, 2


def varint(number: int, value: int) -> bytes:
    """Return an integer field; a negative one as protobuf's `int64` has it."""
    return _tag(number, _VARINT) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def double(number: int, value: float) -> bytes:
    """Return a field of double precision."""
    return _tag(number, _FIXED64) + struct.pack("<d", value)


def fixed64(number: int, value: int) -> bytes:
    """Return an unsigned field of 8 bytes."""
    return _tag(number, _FIXED64) + struct.pack("<Q", value)


def message(number: int, body: bytes) -> bytes:
    """Return a field that holds a message, or bytes."""
    return _tag(number, _LENGTH) + _varint(len(body)) + body


def text(number: int, value: str) -> bytes:
    """Return a field that holds a string."""
    return message(number, value.encode(errors="replace"))


def _tag(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(value: int) -> bytes:
    """Return an unsigned integer in groups of seven bits, the lowest first."""
    if value < 0x80:
        return bytes((value,))
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
