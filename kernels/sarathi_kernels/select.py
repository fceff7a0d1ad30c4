"""Chooses the attention backend for a device, and says why."""

from dataclasses import dataclass

import torch

from sarathi_kernels.backend import AttentionBackend
from sarathi_kernels.reference import ReferenceAttention
from sarathi_kernels.torch_sdpa import TorchAttention


@dataclass(frozen=True, slots=True)
class Selection:
    """The backend, and a note where it is not the one that would be best."""

    backend: AttentionBackend
    note: str | None = None


def select_backend(device: torch.device) -> Selection:
    return Selection(TorchAttention() if device.type == "cpu" else ReferenceAttention())
