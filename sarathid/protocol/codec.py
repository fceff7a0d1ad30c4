"""Structs to bytes and back: MessagePack by msgspec, which reads into the struct at once and checks as it reads."""

from functools import cache
from typing import Any

import msgspec

from sarathid.errors import CodecError

PROTOCOL_VERSION = 1
MAX_CONTROL_BYTES = 1 << 20
MAX_FRAME_BYTES = 64 << 20


def encode(record: Any) -> bytes:
    """Return one struct of the protocol as a MessagePack body."""
    return msgspec.msgpack.encode(record)


def decode(body: bytes | memoryview, type_: Any, max_bytes: int = MAX_FRAME_BYTES) -> Any:
    """Return the struct of `type_` (a struct or a tagged union of structs) that `body` holds.

    Raises `CodecError` when the body is longer than `max_bytes`, is not one MessagePack value, or
    is not of that type. A length that a value claims is held against what is left of the body before room is made.
    """
    if len(body) > max_bytes:
        raise CodecError(f"a frame of {len(body)} bytes is longer than the {max_bytes} allowed")
    try:
        return _decoder(type_).decode(body)
    except msgspec.ValidationError as error:
        raise CodecError(str(error)) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # ValueError: text that is no UTF-8
        raise CodecError(f"not a MessagePack value: {error}") from error


@cache
def _decoder(type_: Any) -> "msgspec.msgpack.Decoder[Any]":
    return msgspec.msgpack.Decoder(type_, ext_hook=_refuse_extension)


def _refuse_extension(code: int, _data: memoryview) -> Any:
    raise ValueError(f"extension type {code} is not used")
