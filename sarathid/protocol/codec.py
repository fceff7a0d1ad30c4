"""Structs to bytes and back: MessagePack by `msgpack` with every size bounded, checked by `msgspec`."""

from typing import Any

import msgpack
import msgspec

from sarathid.errors import CodecError

PROTOCOL_VERSION = 1
MAX_CONTROL_BYTES = 1 << 20
MAX_FRAME_BYTES = 64 << 20


def encode(record: Any) -> bytes:
    """Return one struct of the protocol as a MessagePack body."""
    packed: bytes = msgpack.packb(msgspec.to_builtins(record, builtin_types=(bytes,)), use_bin_type=True)
    return packed


def decode(body: bytes, type_: Any, max_bytes: int = MAX_FRAME_BYTES) -> Any:
    """Return the struct of `type_` (a struct or a tagged union of structs) that `body` holds.

    Raises `CodecError` when the body is longer than `max_bytes`, is not one MessagePack value, or
    is not of that type.
    """
    if len(body) > max_bytes:
        raise CodecError(f"a frame of {len(body)} bytes is longer than the {max_bytes} allowed")
    try:
        value = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=False,
            max_str_len=max_bytes,
            max_bin_len=max_bytes,
            max_array_len=max_bytes,
            max_map_len=max_bytes,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:  # TypeError: a list as a key
        raise CodecError(f"not a MessagePack value: {error}") from error
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise CodecError(str(error)) from error
