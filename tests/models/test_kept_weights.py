"""Converted weights: mapped by whoever comes next, the same numbers, and never taken when they are not."""

import multiprocessing
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from sarathi_kernels.layers import CPULayers
from sarathi_kernels.quantized import Quantization
from torch import Tensor

from sarathid.models.decoder import Decoder
from sarathid.models.kept_weights import KeptWeights, MappedWeights, RememberedMemory, WeightsDamaged
from sarathid.models.layers.context import LayerContext, WeightMemory
from sarathid.models.model_files import resolve
from sarathid.models.registry import build_model
from sarathid.models.share import ModelShare
from sarathid.models.weights import load_weights, open_weights
from tests.models.tiny import save_tiny_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "tiny"
    save_tiny_model(directory)
    return directory


class Taking:
    """Remembers what a model was given of kept weights."""

    def __init__(self, mapped: MappedWeights) -> None:
        self._mapped = mapped
        self.tensors: list[Tensor] = []

    def allocate(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        self.tensors.append(self._mapped.allocate(shape, dtype))
        return self.tensors[-1]


class Shelf:
    """One directory of kept weights, and one share of a model that goes there in 8 bits."""

    def __init__(self, directory: Path, model: Path, kernels: CPULayers, part: int = 0, num_parts: int = 1) -> None:
        self._files = resolve(str(model))
        self._kernels = kernels
        config = self._files.config
        self.share = ModelShare(config, range(config.num_layers), part, num_parts)
        self.kept = KeptWeights(directory, self._files, self.share, (Quantization.INT8,))

    def build(self, memory: WeightMemory) -> Decoder:
        context = LayerContext(CPU, torch.float32, self._kernels, Quantization.INT8, memory=memory)
        return build_model(self.share, 8, context)

    def convert(self) -> list[Tensor]:
        """Keep the share, and return its tensors."""
        memory = RememberedMemory(CPU)
        load_weights(self.build(memory).checkpoint_tensors(), open_weights(self._files), 1)
        self.kept.keep(memory.tensors, 1)
        return memory.tensors

    def map(self) -> list[Tensor]:
        """Return the tensors of a model that is built on what is kept."""
        mapped = self.kept.open(1)
        assert mapped is not None
        taking = Taking(mapped)
        self.build(taking)
        return taking.tensors


@pytest.fixture(scope="module")
def kernels(kernel_directory: Path) -> CPULayers:
    return CPULayers(kernel_directory)


@pytest.fixture
def shelf(tmp_path: Path, model_path: Path, kernels: CPULayers) -> Shelf:
    return Shelf(tmp_path, model_path, kernels)


def are_equal(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """Have every write of this process beyond so many bytes of a file fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_there_is_nothing_before_it_is_kept(shelf: Shelf) -> None:
    assert shelf.kept.open(1) is None


def test_what_is_kept_is_mapped_as_it_was(shelf: Shelf) -> None:
    assert are_equal(shelf.convert(), shelf.map())
    mapped = shelf.map()
    assert mapped
    assert str(shelf.kept.path) in Path("/proc/self/maps").read_text(encoding="ascii")


def test_it_is_a_safetensors_file_for_its_owner_alone(shelf: Shelf) -> None:
    tensors = shelf.convert()
    assert shelf.kept.path.stat().st_mode & 0o777 == 0o600
    with safe_open(shelf.kept.path, framework="pt") as file:
        assert are_equal(tensors, [file.get_tensor(name) for name in sorted(file.keys())])
        assert file.metadata()["model"] == "tiny"


@pytest.mark.parametrize("place", [4, 100, 5000, -1])
def test_a_byte_that_changed_is_noticed(shelf: Shelf, place: int) -> None:
    shelf.convert()
    content = bytearray(shelf.kept.path.read_bytes())
    content[place] ^= 1
    shelf.kept.path.write_bytes(content)
    with pytest.raises(WeightsDamaged):
        shelf.map()


@pytest.mark.parametrize("num_bytes", [0, 7, 5000])
def test_a_file_that_ends_early_is_noticed(shelf: Shelf, num_bytes: int) -> None:
    shelf.convert()
    os.truncate(shelf.kept.path, num_bytes)
    with pytest.raises(WeightsDamaged):
        shelf.kept.open(1)


def test_weights_of_another_shape_are_not_taken(shelf: Shelf) -> None:
    shelf.convert()
    mapped = shelf.kept.open(1)
    assert mapped is not None
    with pytest.raises(WeightsDamaged, match=r"torch.float32 of \(3, 3\)"):
        mapped.allocate((3, 3), torch.float32)


def test_each_part_of_a_model_has_a_file_of_its_own(tmp_path: Path, model_path: Path, kernels: CPULayers) -> None:
    parts = [Shelf(tmp_path, model_path, kernels, part, 2) for part in range(2)]
    converted = [part.convert() for part in parts]
    assert len({part.kept.path for part in parts}) == 2
    assert all(are_equal(tensors, part.map()) for tensors, part in zip(converted, parts, strict=True))


def test_a_model_that_was_written_anew_replaces_what_was_kept_of_it(tmp_path: Path, kernels: CPULayers) -> None:
    model = tmp_path / "tiny"
    save_tiny_model(model)
    (shelves := tmp_path / "kept").mkdir()
    before = Shelf(shelves, model, kernels)
    before.convert()
    os.utime(model / "model.safetensors")
    after = Shelf(shelves, model, kernels)
    assert after.kept.open(1) is None
    after.convert()
    assert list(shelves.iterdir()) == [after.kept.path] != [before.kept.path]


def test_a_disk_that_is_full_keeps_nothing(shelf: Shelf) -> None:
    with files_of_at_most(10_000), pytest.raises(OSError, match="File too large"):
        shelf.convert()
    assert list(shelf.kept.path.parent.iterdir()) == []


def test_what_a_killed_writer_left_is_written_over(shelf: Shelf) -> None:
    shelf.kept.path.with_suffix(".part").write_bytes(b"\0" * (1 << 20))
    assert are_equal(shelf.convert(), shelf.map())
    assert list(shelf.kept.path.parent.iterdir()) == [shelf.kept.path]


def _convert_again_and_again(shelf: Shelf, start: "multiprocessing.synchronize.Barrier") -> None:
    start.wait()
    for _ in range(20):
        tensors = shelf.convert()
        assert shelf.kept.open(1) is None or are_equal(tensors, shelf.map())


def test_processes_that_convert_at_once_leave_one_whole_file(shelf: Shelf) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(3)
    processes = [context.Process(target=_convert_again_and_again, args=(shelf, start)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert list(shelf.kept.path.parent.iterdir()) == [shelf.kept.path]
