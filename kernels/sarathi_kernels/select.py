"""Chooses the kernels for a device, a head size and a number format, and says why."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError
from types import MappingProxyType

import torch

from sarathi_kernels.backend import AttentionBackend
from sarathi_kernels.cpu import CPUAttention
from sarathi_kernels.flash_attn import FlashAttention, find_flash_attn
from sarathi_kernels.flash_attn_4 import FlashAttention4, find_flash_attn_4
from sarathi_kernels.host_draw import CompiledDraw
from sarathi_kernels.layers import CPULayers, LayerKernels, TorchLayers
from sarathi_kernels.native import NativeUnavailable
from sarathi_kernels.probe import BackendUnavailable, check, check_draw, check_layers, make_probe
from sarathi_kernels.reference import ReferenceAttention
from sarathi_kernels.sampling import NUMPY_ALONE, DrawKernel, DrawKernels
from sarathi_kernels.torch_sdpa import TorchAttention
from sarathi_kernels.torch_varlen import VarlenAttention


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelNeeds:
    """What a model asks of its kernels; compiled code is kept in `directory`, private to the user.

    Only on CPU may the cache's `kv_dtype` be another than the `dtype` that is computed in.
    """

    device: torch.device
    dtype: torch.dtype
    kv_dtype: torch.dtype
    head_dim: int
    block_size: int
    directory: Path


@dataclass(frozen=True, slots=True)
class Kernels:
    """The chosen kernels; `notes` say where one is not the fastest there could be."""

    attention: AttentionBackend
    layers: LayerKernels
    draw: DrawKernels = NUMPY_ALONE
    notes: tuple[str, ...] = ()


class KernelUnavailable(Exception):
    """The named attention backend is unknown, or can't run here; the message says which."""


def select_kernels(attention_backend: str, needs: KernelNeeds) -> Kernels:
    """Return the named attention backend, or for `auto` the fastest that can serve `needs` here.

    Raises `KernelUnavailable` for a name that is unknown or can't run; `auto` always finds one.
    """
    attention, attention_note = _select_attention(attention_backend, needs)
    layers, layers_note = _select_layers(needs)
    draw, draw_note = _select_draw(needs)
    notes = tuple(note for note in (attention_note, layers_note, draw_note) if note)
    return Kernels(attention, layers, draw, notes)


def can_multiply_int8(directory: Path) -> bool:
    """Return whether 8-bit matrices are multiplied in integers on this CPU, by code compiled into `directory`."""
    try:
        CPULayers(directory)
    except NativeUnavailable:
        return False
    return True


def can_read_halves(directory: Path) -> bool:
    """Return whether this CPU attends to keys and values of 16 bits as they lie, by code compiled into `directory`."""
    try:
        return CPUAttention(directory).has_halves
    except NativeUnavailable:
        return False


def _select_attention(name: str, needs: KernelNeeds) -> tuple[AttentionBackend, str | None]:
    if name == "auto":
        return _fastest_on_cuda(needs) if needs.device.type == "cuda" else _fastest_on_cpu(needs)
    if name not in _BUILDERS:
        raise KernelUnavailable(f"attention backend {name!r} is not one of auto, {', '.join(_BUILDERS)}")
    try:
        return _BUILDERS[name](needs), None
    except (NativeUnavailable, BackendUnavailable) as error:
        raise KernelUnavailable(f"attention backend {name!r} can't run here: {error}") from error


def _fastest_on_cpu(needs: KernelNeeds) -> tuple[AttentionBackend, str | None]:
    try:
        return _build_cpu(needs), None
    except NativeUnavailable as error:
        return TorchAttention(), f"attention is slower, copying every context in every iteration: {error}"


def _fastest_on_cuda(needs: KernelNeeds) -> tuple[AttentionBackend, str | None]:
    """Return the first backend that is there and agrees with the reference: ours, which splits long decodes, first."""
    refusals = []
    for name in _CUDA_BACKENDS:
        try:
            backend = _BUILDERS[name](needs)
        except BackendUnavailable as error:
            refusals.append(str(error))
        else:
            return backend, f"attention is not the fastest: {'; '.join(refusals)}" if refusals else None
    return ReferenceAttention(), f"attention is the slow reference: {'; '.join(refusals)}"


def _select_layers(needs: KernelNeeds) -> tuple[LayerKernels, str | None]:
    try:
        if needs.device.type == "cuda":
            return _build_triton_layers(needs), None
        if needs.dtype == torch.float32:
            return CPULayers(needs.directory), None
    except (NativeUnavailable, BackendUnavailable) as error:
        return TorchLayers(), f"decodes are slower, every layer running on torch: {error}"
    return TorchLayers(), None


def _select_draw(needs: KernelNeeds) -> tuple[DrawKernels, str | None]:
    try:
        if needs.device.type == "cuda":
            return DrawKernels(device=_build_triton_draw(needs)), None
        return DrawKernels(host=CompiledDraw(needs.directory)), None
    except BackendUnavailable as error:
        return NUMPY_ALONE, f"logits of drawn tokens are copied to the host: {error}"
    except NativeUnavailable as error:
        return NUMPY_ALONE, f"tokens are drawn by numpy, more slowly: {error}"


def _build_cpu(needs: KernelNeeds) -> AttentionBackend:
    if needs.device.type != "cpu" or not CPUAttention.supports(needs.head_dim, needs.dtype):
        raise NativeUnavailable(f"no kernel for heads of {needs.head_dim} in {needs.dtype} on {needs.device}")
    backend = CPUAttention(needs.directory)
    if needs.kv_dtype != torch.float32 and not (needs.kv_dtype == torch.float16 and backend.has_halves):
        raise NativeUnavailable(f"no kernel for a cache of {needs.kv_dtype} on this processor")
    return backend


@contextmanager
def triton_or_unavailable() -> Iterator[None]:
    """Tell of a Triton that is not there, does not compile or asks too much of the device as `BackendUnavailable`."""
    try:
        # Deferred, as are our kernels: only CUDA needs Triton, which takes a third of a second to load.
        from triton.runtime.errors import TritonError
    except ImportError as error:
        raise BackendUnavailable(f"Triton can't be imported: {error}") from error
    try:
        yield
    except TritonError as error:
        reason = str(error).strip().partition("\n")[0]
        raise BackendUnavailable(f"a Triton kernel does not run: {reason}") from error
    except CalledProcessError as error:
        raise BackendUnavailable(f"Triton's launcher can't be compiled; it takes Python's headers: {error}") from error


def _build_triton(needs: KernelNeeds) -> AttentionBackend:
    _check_cuda("triton", needs)
    with triton_or_unavailable():
        from sarathi_kernels.triton_attention import TritonAttention

        return _checked(TritonAttention(), needs)


def _build_triton_layers(needs: KernelNeeds) -> LayerKernels:
    with triton_or_unavailable():
        from sarathi_kernels.triton_layers import TritonLayers

        layers = TritonLayers()
        check_layers(layers, needs.device, needs.dtype, needs.head_dim)
        return layers


def _build_triton_draw(needs: KernelNeeds) -> DrawKernel:
    with triton_or_unavailable():
        from sarathi_kernels.triton_sampling import draw

        check_draw(draw, needs.device)
        return draw


def _build_flash_attn(needs: KernelNeeds) -> AttentionBackend:
    _check_cuda("flash-attn", needs)
    return _checked(FlashAttention(find_flash_attn()), needs)


def _build_flash_attn_4(needs: KernelNeeds) -> AttentionBackend:
    _check_cuda("flash-attn-4", needs)
    return _checked(FlashAttention4(find_flash_attn_4()), needs)


def _build_varlen(needs: KernelNeeds) -> AttentionBackend:
    _check_cuda("torch-varlen", needs)
    return _checked(VarlenAttention(), needs)


def _check_cuda(name: str, needs: KernelNeeds) -> None:
    if needs.device.type != "cuda":
        raise BackendUnavailable(f"{name} runs on CUDA, not on {needs.device}")


def _checked(backend: AttentionBackend, needs: KernelNeeds) -> AttentionBackend:
    check(backend, make_probe(needs.device, needs.dtype, needs.head_dim, needs.block_size))
    return backend


_CUDA_BACKENDS = ("triton", "flash-attn-4", "flash-attn", "torch-varlen")
_BUILDERS: Mapping[str, Callable[[KernelNeeds], AttentionBackend]] = MappingProxyType(
    {
        "cpu": _build_cpu,
        "triton": _build_triton,
        "flash-attn": _build_flash_attn,
        "flash-attn-4": _build_flash_attn_4,
        "torch-varlen": _build_varlen,
        "torch": lambda _: TorchAttention(),
        "reference": lambda _: ReferenceAttention(),
    }
)
