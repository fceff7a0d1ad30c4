"""Weights as the layers of a model have them, in a file that later starts map instead of converting them again."""

import fcntl
import hashlib
import json
import os
import shutil
import struct
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files as resources
from importlib.resources.abc import Traversable
from math import prod
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sarathid.models.model_files import ModelFiles
from sarathid.models.share import ModelShare
from sarathid.version import __version__

_DTYPES: Mapping[torch.dtype, str] = MappingProxyType(
    {torch.int8: "I8", torch.uint8: "U8", torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}
)
_HEAD_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 4096  # of the first tensor in the file; a row of panels then never lies across two cache lines
_DIGEST = "sha256"
_CODE = ("sarathid.models", "sarathi_kernels")
_NAME_BYTES = 64
_LEAST_FREE_SHARE = 0.5  # of what the file takes, behind it: a cache must not fill the disk


class WeightsDamaged(Exception):
    """A file of kept weights is not what was written, or not what is asked for; the message says why."""


class MappedWeights:
    """The tensors of a file of kept weights, in the order in which the model that it was written for asked for them."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = iter(tensors)

    def allocate(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return the next tensor; raises `WeightsDamaged` when it is another one than is asked for."""
        tensor = next(self._tensors, None)
        if tensor is None or tensor.shape != shape or tensor.dtype != dtype:
            raise WeightsDamaged(f"it has no {dtype} of {shape} where one belongs")
        return tensor


class RememberedMemory:
    """Memory on a device, of which every tensor is remembered, to be kept when it is filled."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.tensors: list[Tensor] = []

    def allocate(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        self.tensors.append(torch.empty(shape, dtype=dtype, device=self._device))
        return self.tensors[-1]


class KeptWeights:
    """The file in `directory`, private to the user, for one share of a model in one format.

    It is named for all that its content follows from: the model's files by size and time of change, the share, the
    format and the code that converts. Where one of these is new, the file of before is replaced. `format` says what
    else makes a difference: number formats, kernels.
    """

    def __init__(self, directory: Path, files: ModelFiles, share: ModelShare, format: tuple[object, ...]) -> None:
        place = _hash(files.path.resolve(), share.layers, share.part, share.num_parts, *format)[:8]
        self._directory = directory
        self._prefix = f"{files.name.encode()[:_NAME_BYTES].decode(errors='ignore')}-{place}-"
        self.path = directory / f"{self._prefix}{_hash(share.config, _source(files.path), _code())[:16]}.safetensors"
        self._metadata = {"model": files.name, "format": " ".join(map(str, format)), "sarathid": __version__}

    def open(self, num_threads: int) -> MappedWeights | None:
        """Map the file, whose every byte is checked by so many threads; None if there is none.

        Raises `WeightsDamaged` when it is not as it was written.
        """
        try:
            return MappedWeights(_read(self.path, num_threads))
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError) as error:
            raise WeightsDamaged(str(error)) from error

    def keep(self, tensors: Sequence[Tensor], num_threads: int) -> None:
        """Write the file, which appears whole or not at all; raises `OSError` when it can't be, and leaves nothing.

        Does nothing while another process writes it.
        """
        num_bytes = sum(tensor.nbytes for tensor in tensors)
        if shutil.disk_usage(self._directory).free < num_bytes * (1 + _LEAST_FREE_SHARE):
            raise OSError(f"{self._directory} has no room for {num_bytes / 2**20:.0f} MiB")
        part = self.path.with_suffix(".part")
        descriptor = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            if not _is_mine(descriptor, part):
                return
            try:
                file.truncate(0)  # what one left that was killed
                for piece in _pieces(tensors, self._metadata, num_threads):
                    file.write(piece)
                file.flush()
                part.replace(self.path)
            except OSError:
                part.unlink(missing_ok=True)
                raise
        self._remove_those_before()

    def remove(self) -> None:
        """Remove the file, if it is there and can be."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError:  # it will be found damaged again, and told of again
            return

    def _remove_those_before(self) -> None:
        for path in self._directory.iterdir():
            if path.name.startswith(self._prefix) and path.stem != self.path.stem:
                path.unlink(missing_ok=True)


def _read(path: Path, num_threads: int) -> Sequence[Tensor]:
    """Return the tensors of a file, mapped; raises `WeightsDamaged` when they are not what was written."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = [file.get_tensor(name) for name in sorted(file.keys())]
    if metadata.get(_DIGEST) != _digest(tensors, num_threads):
        raise WeightsDamaged("its content is not what was written")
    return tensors


def _pieces(tensors: Sequence[Tensor], metadata: Mapping[str, str], num_threads: int) -> Iterator[memoryview | bytes]:
    """Yield the content of a safetensors file: a head, filled up with blanks, and the tensors one after the other."""
    head: dict[str, object] = {"__metadata__": {**metadata, _DIGEST: _digest(tensors, num_threads)}}
    start = 0
    for index, tensor in enumerate(tensors):
        offsets = (start, start := start + tensor.nbytes)
        head[f"{index:06}"] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
    written = json.dumps(head).encode()
    written += b" " * (-(_HEAD_LENGTH.size + len(written)) % _ALIGNMENT)
    yield _HEAD_LENGTH.pack(len(written)) + written
    for tensor in tensors:
        yield _bytes_of(tensor)


def _digest(tensors: Sequence[Tensor], num_threads: int) -> str:
    """Return the hash of the hashes of all tensors."""
    with ThreadPoolExecutor(num_threads) as pool:
        digests = pool.map(lambda tensor: hashlib.sha256(_bytes_of(tensor)).digest(), tensors)
        return hashlib.sha256(b"".join(digests)).hexdigest()


def _bytes_of(tensor: Tensor) -> memoryview:
    assert prod(tensor.shape), "there are no weights of nothing"
    return tensor.cpu().flatten().view(torch.uint8).numpy().data


def _is_mine(descriptor: int, path: Path) -> bool:
    """Take the lock of the open file at `path`; return whether nobody else has it, or has replaced the file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _source(path: Path) -> Sequence[tuple[object, ...]]:
    """Return what tells a model's files from others, and from what they were before they were written to."""
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    return [
        (entry.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for entry in found for stat in (entry.stat(),)
    ]


def _code() -> str:
    """Return the hash of the code that weights go through, so that no format needs a number of its own."""
    return _hash(*(text for package in _CODE for text in _sources(resources(package))))


def _sources(folder: Traversable) -> Iterator[str]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _sources(entry)
        elif entry.name.endswith(".py"):
            yield entry.read_text(encoding="utf-8")


def _hash(*facts: object) -> str:
    return hashlib.sha256("\0".join(map(repr, facts)).encode()).hexdigest()
