"""Chooses the attention backend for a device, a head size and a number format, and says why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch

from sarathi_kernels.backend import AttentionBackend
from sarathi_kernels.cpu import CPUAttention
from sarathi_kernels.native import NativeUnavailable
from sarathi_kernels.reference import ReferenceAttention
from sarathi_kernels.torch_sdpa import TorchAttention
from sarathi_kernels.torch_varlen import VarlenAttention, VarlenUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionNeeds:
    """What a model asks of its backend; compiled code is kept in `directory`, private to the user."""

    device: torch.device
    dtype: torch.dtype
    head_dim: int
    block_size: int
    directory: Path


@dataclass(frozen=True, slots=True)
class Selection:
    """The backend, and a note where it is not the fastest there could be."""

    backend: AttentionBackend
    note: str | None = None


class BackendUnknown(Exception):
    """No backend has that name; the message lists those there are."""


def select_backend(name: str, needs: AttentionNeeds) -> Selection:
    """Return the named backend, or for `auto` the fastest that can serve `needs` here.

    Raises `BackendUnknown`, and for a named backend `NativeUnavailable` or `VarlenUnavailable`.
    """
    if name == "auto":
        return _select_for_cuda(needs) if needs.device.type == "cuda" else _select_for_cpu(needs)
    if name not in _BUILDERS:
        raise BackendUnknown(f"attention backend {name!r} is not one of auto, {', '.join(_BUILDERS)}")
    return Selection(_BUILDERS[name](needs))


def _select_for_cpu(needs: AttentionNeeds) -> Selection:
    try:
        return Selection(_build_cpu(needs))
    except NativeUnavailable as error:
        return Selection(
            TorchAttention(), f"attention runs on torch, which copies each context every iteration: {error}"
        )


def _select_for_cuda(needs: AttentionNeeds) -> Selection:
    try:
        return Selection(_build_varlen(needs))
    except VarlenUnavailable as error:
        return Selection(ReferenceAttention(), f"attention runs on the slow reference: {error}")


def _build_cpu(needs: AttentionNeeds) -> AttentionBackend:
    if needs.device.type != "cpu" or not CPUAttention.supports(needs.head_dim, needs.dtype):
        raise NativeUnavailable(
            f"the CPU kernel does not serve {needs.dtype} heads of {needs.head_dim} on {needs.device}"
        )
    return CPUAttention(needs.directory)


def _build_varlen(needs: AttentionNeeds) -> AttentionBackend:
    VarlenAttention.check(needs.device, needs.dtype, needs.head_dim, needs.block_size)
    return VarlenAttention()


_BUILDERS: Mapping[str, Callable[[AttentionNeeds], AttentionBackend]] = MappingProxyType(
    {
        "cpu": _build_cpu,
        "torch-varlen": _build_varlen,
        "torch": lambda _: TorchAttention(),
        "reference": lambda _: ReferenceAttention(),
    }
)
