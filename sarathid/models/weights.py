"""Fills a model's weights from safetensors or GGUF, tensor by tensor, each shape checked first."""

from collections.abc import Callable, Iterable, Set
from concurrent.futures import ThreadPoolExecutor, as_completed
from math import prod
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sarathid.errors import ModelRefused
from sarathid.models.gguf_model import checkpoint_names, undo_rope_permutation
from sarathid.models.layers.checkpoint import CheckpointTensor, Region
from sarathid.models.model_files import PICKLE_SUFFIXES, DirectoryFiles, GGUFFiles

_SINGLE_FILE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_IGNORED_SUFFIXES = (".rotary_emb.inv_freq",)
_DUMMY_SCALE = 0.02
_DUMMY_SEED = 0
_NUM_DUMMY_VALUES = 1_000_003  # drawing 7 billion takes minutes; a prime, so that rows of a matrix differ


class _IndexJson(msgspec.Struct):
    """What we read of an index of shards: the file that each tensor is in."""

    weight_map: dict[str, str]


class WeightSource(Protocol):
    """Tensors by the checkpoint's names, read one at a time."""

    def names(self) -> frozenset[str]: ...

    def shape(self, name: str) -> tuple[int, ...]: ...

    def read(self, name: str, region: Region | None = None) -> Tensor:
        """Return a tensor, or that region of it without reading the rest."""
        ...


class SafetensorsSource:
    """The tensors of a directory's safetensors files, memory-mapped."""

    def __init__(self, directory: Path) -> None:
        self._files: dict[str, Any] = {}
        for path in _safetensors_paths(directory):
            try:
                file: Any = safe_open(path, framework="pt")
            except (SafetensorError, FileNotFoundError) as error:
                raise ModelRefused(f"{path} is not a whole safetensors file: {error}") from error
            self._files.update(dict.fromkeys(file.keys(), file))

    def names(self) -> frozenset[str]:
        return frozenset(self._files)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._files[name].get_slice(name).get_shape())

    def read(self, name: str, region: Region | None = None) -> Tensor:
        if region is None:
            tensor: Tensor = self._files[name].get_tensor(name)
            return tensor
        stored, before = self._files[name].get_slice(name), (slice(None),) * region.dim
        parts: list[Tensor] = [stored[(*before, slice(part.start, part.stop))] for part in region.ranges]
        return torch.cat(parts, dim=region.dim)


class GGUFSource:
    """The tensors of a GGUF file, dequantized to float32."""

    def __init__(self, files: GGUFFiles) -> None:
        self._file = files.file
        self._config = files.config
        self._names = checkpoint_names(self._file, self._config)

    def names(self) -> frozenset[str]:
        return frozenset(self._names)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._file.tensors[self._names[name]].shape

    def read(self, name: str, region: Region | None = None) -> Tensor:
        return torch.from_numpy(undo_rope_permutation(name, self._values(self._names[name], region), self._config))

    def _values(self, name: str, region: Region | None) -> NDArray[np.float32]:
        if region is None:
            return self._file.read(name)
        parts = [self._file.read_range(name, region.dim, part) for part in region.ranges]
        return np.concatenate(parts, axis=region.dim)


def open_weights(files: DirectoryFiles | GGUFFiles) -> WeightSource:
    """Return the model's tensors; raises `ModelRefused` when they are missing, broken or pickled."""
    return GGUFSource(files) if isinstance(files, GGUFFiles) else SafetensorsSource(files.path)


def load_weights(
    tensors: Iterable[CheckpointTensor],
    source: WeightSource,
    num_threads: int,
    on_loaded: Callable[[int], None] = lambda _: None,
    elsewhere: Set[str] = frozenset(),
) -> None:
    """Fill `tensors` from `source`; `on_loaded` hears of the bytes of each as it is filled.

    `elsewhere` names what other ranks load. Raises `ModelRefused` naming the first tensor that is missing, of another
    shape, not known, or not of finite numbers. Files are mapped, and each thread holds what it takes of one source
    tensor at a time: the peak is the model and little more.
    """
    wanted = tuple(tensors)
    _check(wanted, source, elsewhere)
    with ThreadPoolExecutor(num_threads) as pool:
        filling = {pool.submit(_fill, tensor, source): tensor for tensor in wanted}
        try:
            for filled in as_completed(filling):
                filled.result()
                on_loaded(filling[filled].destination.nbytes)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def fill_dummy(tensors: Iterable[CheckpointTensor], device: torch.device) -> None:
    """Fill `tensors` with small random numbers, the same in every run, to time a model whose weights are not here.

    They are repeated on `device`, where the tensors lie: gigabytes of them need not cross over.
    """
    drawn = torch.randn(_NUM_DUMMY_VALUES, generator=torch.Generator().manual_seed(_DUMMY_SEED)) * _DUMMY_SCALE
    drawn = drawn.to(device)
    for tensor in tensors:
        shape = tuple(tensor.destination.shape)
        num_repeats = -(-prod(shape) // _NUM_DUMMY_VALUES)
        tensor.destination.copy_(drawn.repeat(num_repeats)[: prod(shape)].view(shape))


def _fill(tensor: CheckpointTensor, source: WeightSource) -> None:
    values = source.read(tensor.name, tensor.region)
    if not values.dtype.is_floating_point:
        raise ModelRefused(f"{tensor.name} is of {values.dtype}, and weights are floating-point numbers")
    if not torch.isfinite(values.sum(dtype=torch.float32)):  # one pass; a NaN or an infinity anywhere shows
        raise ModelRefused(f"{tensor.name} holds numbers that are not finite; the file is damaged")
    tensor.destination.copy_(values)


def _check(wanted: Iterable[CheckpointTensor], source: WeightSource, elsewhere: Set[str]) -> None:
    names = source.names()
    for tensor in wanted:
        if tensor.name not in names:
            raise ModelRefused(f"the weights have no {tensor.name}")
        found = source.shape(tensor.name)
        if found != tensor.shape:
            raise ModelRefused(f"{tensor.name} has the shape {found}, and the configuration asks for {tensor.shape}")
    ignored = {"lm_head.weight"} | {name for name in names if name.endswith(_IGNORED_SUFFIXES)}
    unknown = names - {tensor.name for tensor in wanted} - elsewhere - ignored
    if unknown:
        raise ModelRefused(f"the weights have {min(unknown)}, which this architecture does not use")


def _safetensors_paths(directory: Path) -> list[Path]:
    index = directory / _INDEX
    if index.exists():
        return _shards(index)
    if (directory / _SINGLE_FILE).exists():
        return [directory / _SINGLE_FILE]
    pickles = [path.name for path in sorted(directory.iterdir()) if path.suffix in PICKLE_SUFFIXES]
    if pickles:
        raise ModelRefused(
            f"{directory} has its weights in {pickles[0]}: pickle files can run code and are never loaded; "
            "convert them to safetensors"
        )
    raise ModelRefused(f"{directory} has neither {_SINGLE_FILE} nor {_INDEX}")


def _shards(index: Path) -> list[Path]:
    """Return the files that an index names; raises `ModelRefused` when it is broken or points elsewhere."""
    try:
        shards = msgspec.json.decode(index.read_bytes(), type=_IndexJson).weight_map.values()
    except msgspec.MsgspecError as error:
        raise ModelRefused(f"{index}: {error}") from error
    if any(Path(shard).name != shard for shard in shards):
        raise ModelRefused(f"{index} names files outside of its directory")
    return [index.parent / shard for shard in sorted(set(shards))]
