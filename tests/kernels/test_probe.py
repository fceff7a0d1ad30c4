"""What a backend must do before it is taken, with backends that do and that do not."""

from pathlib import Path

import pytest
import torch
from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from sarathi_kernels.cpu import CPUAttention
from sarathi_kernels.layers import CPULayers, TorchLayers
from sarathi_kernels.probe import BackendUnavailable, check, check_layers, make_probe
from sarathi_kernels.reference import ReferenceAttention
from sarathi_kernels.torch_sdpa import TorchAttention
from torch import Tensor

CPU = torch.device("cpu")


class ForgetfulAttention(ReferenceAttention):
    """Sees one position less than there are."""

    name = "forgetful"

    def attend(self, q: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> Tensor:
        return super().attend(q, LayerCache(cache.k.roll(1, dims=1), cache.v), metadata)


class PickyAttention(ReferenceAttention):
    """Takes no blocks at all."""

    name = "picky"

    def attend(self, q: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> Tensor:
        raise RuntimeError("page size must be a multiple of 256\nin file x")


class WrongLayers(TorchLayers):
    """Forgets the gate."""

    def gate(self, gate_up: Tensor) -> Tensor:
        return gate_up.chunk(2, dim=-1)[1]


class FailingLayers(TorchLayers):
    """Fails where it should turn heads."""

    def rotate(self, heads: Tensor, cos: Tensor, sin: Tensor) -> None:
        raise RuntimeError("no kernel image")


@pytest.mark.parametrize("block_size", [1, 16, 256])
def test_backends_that_are_right_pass(kernel_directory: Path, block_size: int) -> None:
    backends: tuple[AttentionBackend, ...] = (ReferenceAttention(), TorchAttention(), CPUAttention(kernel_directory))
    for backend in backends:
        check(backend, make_probe(CPU, torch.float32, 64, block_size))


def test_a_backend_that_is_wrong_is_refused() -> None:
    with pytest.raises(BackendUnavailable, match="forgetful gives wrong results with blocks of 16"):
        check(ForgetfulAttention(), make_probe(CPU, torch.float32, 64, 16))


def test_a_backend_that_fails_is_refused_with_its_first_line() -> None:
    with pytest.raises(BackendUnavailable, match=r"picky refuses blocks of 16: page size must be a multiple of 256$"):
        check(PickyAttention(), make_probe(CPU, torch.float32, 64, 16))


def test_layers_are_held_to_torch(kernel_directory: Path) -> None:
    check_layers(CPULayers(kernel_directory), CPU, torch.float32, 64)
    with pytest.raises(BackendUnavailable, match="wrong results"):
        check_layers(WrongLayers(), CPU, torch.float32, 64)
    with pytest.raises(BackendUnavailable, match="no kernel image"):
        check_layers(FailingLayers(), CPU, torch.float32, 64)
