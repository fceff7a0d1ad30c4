"""Which kernels are chosen, and what is said of it."""

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from subprocess import CalledProcessError

import pytest
import torch
from sarathi_kernels.probe import BackendUnavailable
from sarathi_kernels.select import KernelNeeds, KernelUnavailable, select_kernels, triton_or_unavailable

from tests.kernels.interpreter import HAS_TRITON


@pytest.fixture
def needs(kernel_directory: Path) -> KernelNeeds:
    return KernelNeeds(
        device=torch.device("cpu"),
        dtype=torch.float32,
        kv_dtype=torch.float32,
        head_dim=64,
        block_size=16,
        directory=kernel_directory,
    )


def test_cpu_takes_the_compiled_kernels_without_a_word(needs: KernelNeeds) -> None:
    kernels = select_kernels("auto", needs)
    assert (kernels.attention.name, kernels.notes) == ("cpu", ())


def test_without_a_compiler_torch_serves_and_says_why(needs: KernelNeeds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    kernels = select_kernels("auto", needs)
    assert kernels.attention.name == "torch"
    assert [note for note in kernels.notes if "no C++ compiler" in note] == list(kernels.notes) != []


def test_an_odd_head_size_is_served_by_torch(needs: KernelNeeds) -> None:
    kernels = select_kernels("auto", replace(needs, head_dim=40))
    assert kernels.attention.name == "torch"
    assert "heads of 40" in kernels.notes[0]


@pytest.mark.parametrize("name", ["reference", "torch", "cpu"])
def test_a_named_backend_is_taken(needs: KernelNeeds, name: str) -> None:
    assert select_kernels(name, needs).attention.name == name


def test_an_unknown_backend_is_refused_with_the_names_there_are(needs: KernelNeeds) -> None:
    names = "auto, cpu, triton, flash-attn, flash-attn-4, torch-varlen, torch, reference"
    with pytest.raises(KernelUnavailable, match=names):
        select_kernels("quick", needs)


@pytest.mark.parametrize("name", ["triton", "flash-attn", "flash-attn-4", "torch-varlen"])
def test_cuda_kernels_on_cpu_are_refused(needs: KernelNeeds, name: str) -> None:
    with pytest.raises(KernelUnavailable, match=f"{name} runs on CUDA"):
        select_kernels(name, needs)


@pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")
def test_a_kernel_that_asks_too_much_of_a_device_is_unavailable() -> None:
    errors = import_module("triton.runtime.errors")
    with (
        pytest.raises(BackendUnavailable, match="does not run: out of resource: shared memory"),
        triton_or_unavailable(),
    ):
        raise errors.OutOfResources(115456, 101376, "shared memory")


@pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")
def test_without_what_compiles_its_launchers_triton_is_unavailable() -> None:
    with pytest.raises(BackendUnavailable, match="takes Python's headers"), triton_or_unavailable():
        raise CalledProcessError(1, ["gcc"])


def test_without_triton_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton.runtime.errors", None)
    with pytest.raises(BackendUnavailable, match="Triton can't be imported"), triton_or_unavailable():
        pytest.fail("there is no Triton")
