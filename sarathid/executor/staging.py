"""Carries an iteration's small arrays to a device in one copy, from memory that the device reads itself, and back."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_ALIGNMENT = 16  # bytes, as kernels expect of what they are given

NumberArray: TypeAlias = NDArray[np.number]


class Arrival:
    """Tensors on their way to the host, from when the device is through with what was launched before."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tuple(tensors)
        self._event: torch.cuda.Event | None = None
        if all(tensor.is_cuda for tensor in self._tensors):
            self._tensors = tuple(_to_pinned(tensor) for tensor in self._tensors)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def wait(self) -> tuple[Tensor, ...]:
        """Return the tensors on the host; what was launched behind them is not waited for."""
        if self._event is not None:
            self._event.synchronize()
        return self._tensors


def _to_pinned(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)


def send(arrays: Mapping[str, NumberArray], device: torch.device) -> dict[str, Tensor]:
    """Return the arrays as tensors of the same types and shapes on `device`; on CPU they share their memory."""
    if device.type == "cpu":
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
    values = tuple(arrays.values())
    return dict(zip(arrays, unpack(send_packed(values, device), values), strict=True))


def send_one(array: NumberArray, device: torch.device) -> Tensor:
    """Return one array as a tensor on `device`, which the host does not wait for, unlike for `torch.tensor`."""
    return send({"array": array}, device)["array"]


def send_packed(arrays: Sequence[NumberArray], device: torch.device) -> Tensor:
    """Return the bytes of all arrays [num_bytes] uint8 on `device`, each at an aligned place.

    Torch keeps the pinned memory from others until the device has read it.
    """
    return pack(arrays, is_pinned=device.type == "cuda").to(device, non_blocking=True)


def pack(arrays: Sequence[NumberArray], is_pinned: bool) -> Tensor:
    """Return the bytes of all arrays [num_bytes] uint8, each at an aligned place."""
    *_, end = _ends(arrays)
    packed = torch.empty(end, dtype=torch.uint8, pin_memory=is_pinned)
    for tensor, array in zip(unpack(packed, arrays), arrays, strict=True):
        tensor.copy_(torch.from_numpy(array))
    return packed


def unpack(packed: Tensor, arrays: Sequence[NumberArray]) -> list[Tensor]:
    """Return views of `packed` with the types and shapes of `arrays`, in their places."""
    return [
        packed[end - array.nbytes : end].view(torch.from_numpy(array).dtype).view(array.shape)
        for end, array in zip(_ends(arrays), arrays, strict=True)
    ]


def _ends(arrays: Sequence[NumberArray]) -> Iterator[int]:
    """Yield where the bytes of each array end; they begin at multiples of _ALIGNMENT."""
    end = 0
    for array in arrays:
        end = -(-end // _ALIGNMENT) * _ALIGNMENT + array.nbytes
        yield end
