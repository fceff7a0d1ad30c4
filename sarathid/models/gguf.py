"""The GGUF file format: metadata and tensors out of one memory-mapped file, every length checked."""

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants
from numpy.typing import NDArray

from sarathid.errors import ModelRefused

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32
_MAX_DIMENSIONS = 4
_BYTES_AT_ONCE = 1 << 20
_STRING = 8
_ARRAY = 9
_SCALARS = MappingProxyType(
    {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
)


@dataclass(frozen=True, slots=True)
class GGUFTensor:
    """Where a tensor lies in the file; `shape` is row-major, as in the framework that made it."""

    shape: tuple[int, ...]
    quantization: GGMLQuantizationType
    offset: int
    num_bytes: int


class GGUFFile:
    """One GGUF file: `metadata` by key, `tensors` by name, values on demand.

    Raises `ModelRefused` when the file is not GGUF, is truncated, or has a tensor of an unknown kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._parse()
        except (struct.error, ValueError, KeyError, TypeError) as error:
            raise ModelRefused(f"{path} is not a whole GGUF file: {error}") from error

    def read(self, name: str) -> NDArray[np.float32]:
        """Return one tensor dequantized to float32, in its row-major shape."""
        tensor = self.tensors[name]
        raw = np.frombuffer(self._data, np.uint8, tensor.num_bytes, tensor.offset)
        return self._dequantize(name, raw).reshape(tensor.shape)

    def read_range(self, name: str, dim: int, wanted: range) -> NDArray[np.float32]:
        """Return indices `wanted` of dimension `dim` of a tensor, as `read` would, and dequantize little more."""
        tensor = self.tensors[name]
        block_len, block_bytes = GGML_QUANT_SIZES[tensor.quantization]
        raw = np.frombuffer(self._data, np.uint8, tensor.num_bytes, tensor.offset)
        blocks = raw.reshape(*tensor.shape[:-1], -1, block_bytes)
        if dim < len(tensor.shape) - 1:
            some = blocks[(slice(None),) * dim + (slice(wanted.start, wanted.stop),)]
            return self._dequantize(name, some.ravel()).reshape(*some.shape[:-2], tensor.shape[-1])
        first = wanted.start // block_len
        some = blocks[..., first : -(-wanted.stop // block_len), :]
        values = self._dequantize(name, some.ravel()).reshape(*some.shape[:-2], -1)
        return values[..., wanted.start - first * block_len : wanted.stop - first * block_len]

    def _dequantize(self, name: str, raw: NDArray[np.uint8]) -> NDArray[np.float32]:
        quantization = self.tensors[name].quantization
        try:
            return dequantize(raw, quantization)
        except NotImplementedError as error:
            raise ModelRefused(f"{self.path}: {name} is {quantization.name}, which is not served") from error

    def _parse(self) -> None:
        cursor = _Cursor(self._data)
        if cursor.take(4) != _MAGIC:
            raise ValueError("it does not begin with GGUF")
        version = cursor.scalar("<I")
        if version not in _VERSIONS:
            raise ValueError(f"its version is {version}")
        num_tensors, num_fields = cursor.scalar("<Q"), cursor.scalar("<Q")
        self.metadata: dict[str, Any] = {}
        for _ in range(num_fields):
            key = cursor.string()
            self.metadata[key] = cursor.value(cursor.scalar("<I"))
        entries = [_TensorEntry.read(cursor) for _ in range(num_tensors)]
        alignment = self.metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"its alignment is {alignment}")
        start = -(-cursor.position // alignment) * alignment
        self.tensors = {entry.name: entry.locate(start, len(self._data)) for entry in entries}


def dequantize(raw: NDArray[np.uint8], quantization: GGMLQuantizationType) -> NDArray[np.float32]:
    """Return the float32 values of quantized bytes.

    The package takes 16 rows at a time, and a row is what it is told: rows of _BYTES_AT_ONCE take 0.4
    times as long as those of a small model, and bound the memory that is taken on the way.
    """
    block_len, block_bytes = GGML_QUANT_SIZES[quantization]
    values = np.empty(len(raw) // block_bytes * block_len, np.float32)
    step = max(1, _BYTES_AT_ONCE // block_bytes)
    for first in range(0, len(raw) // block_bytes, step):
        piece = raw[first * block_bytes : (first + step) * block_bytes]
        values[first * block_len : (first + step) * block_len] = quants.dequantize(piece.reshape(1, -1), quantization)
    return values


@dataclass(frozen=True, slots=True)
class _TensorEntry:
    """What the file's head says of a tensor; `offset` counts from the end of the head."""

    name: str
    shape: tuple[int, ...]
    quantization: GGMLQuantizationType
    offset: int

    @classmethod
    def read(cls, cursor: "_Cursor") -> "_TensorEntry":
        name = cursor.string()
        num_dimensions = cursor.scalar("<I")
        if num_dimensions > _MAX_DIMENSIONS:
            raise ValueError(f"{name} has {num_dimensions} dimensions")
        shape = tuple(reversed([cursor.scalar("<Q") for _ in range(num_dimensions)]))
        if 0 in shape:
            raise ValueError(f"{name} has the shape {shape}")
        return cls(name, shape, GGMLQuantizationType(cursor.scalar("<I")), cursor.scalar("<Q"))

    def locate(self, start: int, file_bytes: int) -> GGUFTensor:
        block_len, block_bytes = GGML_QUANT_SIZES[self.quantization]
        if self.shape and self.shape[-1] % block_len:
            raise ValueError(f"{self.name} has rows of {self.shape[-1]} values, no multiple of {block_len}")
        num_bytes = prod(self.shape) // block_len * block_bytes
        if start + self.offset + num_bytes > file_bytes:
            raise ValueError(f"it ends before {self.name} does")
        return GGUFTensor(self.shape, self.quantization, start + self.offset, num_bytes)


class _Cursor:
    """Reads values one after the other; raises ValueError or struct.error at the end of the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.position = 0

    def take(self, num_bytes: int) -> bytes:
        end = self.position + num_bytes
        if end > len(self._data):
            raise ValueError("it is truncated")
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def scalar(self, layout: str) -> Any:
        (value,) = struct.unpack_from(layout, self._data, self.position)
        self.position += struct.calcsize(layout)
        return value

    def string(self) -> str:
        return self.take(self.scalar("<Q")).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.scalar(_SCALARS[kind])
        item_kind, num_items = self.scalar("<I"), self.scalar("<Q")
        if num_items > len(self._data):
            raise ValueError(f"an array of {num_items} items is longer than the file")
        if item_kind == _ARRAY:
            raise ValueError("it has an array of arrays")
        if item_kind in _SCALARS:
            layout = f"<{num_items}{_SCALARS[item_kind][1:]}"
            return list(struct.unpack(layout, self.take(struct.calcsize(layout))))
        return [self.value(item_kind) for _ in range(num_items)]
