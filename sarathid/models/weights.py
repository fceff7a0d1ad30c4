"""Fills a model's weights from safetensors or GGUF, tensor by tensor, each shape checked first."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sarathid.errors import ModelRefused
from sarathid.models.gguf_model import checkpoint_names, undo_rope_permutation
from sarathid.models.model_files import PICKLE_SUFFIXES, DirectoryFiles, GGUFFiles

_SINGLE_FILE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_IGNORED_SUFFIXES = (".rotary_emb.inv_freq",)


class WeightSource(Protocol):
    """Tensors by the checkpoint's names, read one at a time."""

    def names(self) -> frozenset[str]: ...

    def shape(self, name: str) -> tuple[int, ...]: ...

    def read(self, name: str) -> Tensor: ...


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

    def read(self, name: str) -> Tensor:
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor


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

    def read(self, name: str) -> Tensor:
        return torch.from_numpy(undo_rope_permutation(name, self._file.read(self._names[name]), self._config))


def open_weights(files: DirectoryFiles | GGUFFiles) -> WeightSource:
    """Return the model's tensors; raises `ModelRefused` when they are missing, broken or pickled."""
    return GGUFSource(files) if isinstance(files, GGUFFiles) else SafetensorsSource(files.path)


def load_weights(tensors: Iterable[tuple[str, Tensor]], source: WeightSource, num_threads: int) -> None:
    """Fill `tensors` (name, destination) from `source`.

    Raises `ModelRefused` naming the first tensor that is missing, of another shape, or not known.
    Each thread holds one source tensor at a time, so the peak is the model and little more.
    """
    wanted = dict(tensors)
    _check(wanted, source)
    with ThreadPoolExecutor(num_threads) as pool:
        for _ in pool.map(lambda name: wanted[name].copy_(source.read(name)), wanted):
            pass


def _check(wanted: dict[str, Tensor], source: WeightSource) -> None:
    names = source.names()
    for name, destination in wanted.items():
        if name not in names:
            raise ModelRefused(f"the weights have no {name}")
        found, expected = source.shape(name), tuple(destination.shape)
        if found != expected:
            raise ModelRefused(f"{name} has the shape {found}, and the configuration asks for {expected}")
    ignored = {"lm_head.weight"} | {name for name in names if name.endswith(_IGNORED_SUFFIXES)}
    unknown = names - wanted.keys() - ignored
    if unknown:
        raise ModelRefused(f"the weights have {min(unknown)}, which this architecture does not use")


def _safetensors_paths(directory: Path) -> list[Path]:
    index = directory / _INDEX
    if index.exists():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if any(Path(shard).name != shard for shard in shards):
            raise ModelRefused(f"{index} names files outside of its directory")
        return [directory / shard for shard in sorted(shards)]
    if (directory / _SINGLE_FILE).exists():
        return [directory / _SINGLE_FILE]
    pickles = [path.name for path in sorted(directory.iterdir()) if path.suffix in PICKLE_SUFFIXES]
    if pickles:
        raise ModelRefused(
            f"{directory} has its weights in {pickles[0]}: pickle files can run code and are never loaded; "
            "convert them to safetensors"
        )
    raise ModelRefused(f"{directory} has neither {_SINGLE_FILE} nor {_INDEX}")
