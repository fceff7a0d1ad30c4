"""Chooses the device and the number format that a model runs in, and says why."""

from dataclasses import dataclass

import torch

from sarathid.errors import ConfigError, ModelRefused
from sarathid.executor.memory import free_bytes

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs; `note` says why where there was a choice."""

    device: torch.device
    dtype: torch.dtype
    note: str | None = None


def choose_dtype(name: str, device_type: str) -> torch.dtype:
    """Return the named format; `auto` is bfloat16 on a GPU and float32 on CPU.

    Without AVX-512 torch multiplies bfloat16 matrices 2x (1 row) to 9x (512 rows) slower than float32 ones.
    """
    if name == "auto":
        return torch.bfloat16 if device_type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise ConfigError(f"dtype {name!r} is not one of auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]


def choose_device_type(name: str) -> str:
    """Return `cuda` or `cpu` for `auto`, `cpu`, `cuda` or `cuda:N`; raises `ConfigError` for what is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise ConfigError(f"device {name!r} is not one of auto, cpu, cuda, cuda:0, ...")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r} was asked for, and torch finds no CUDA device")
    return kind


def place(device: str, dtype: torch.dtype, num_weight_bytes: int) -> Placement:
    """Return where a model of that size runs; `device` as configured.

    Of several GPUs it is the one with most memory free, alone: the smallest layout that fits. Raises
    `ModelRefused`, with the numbers, when the weights fit nowhere.
    """
    device_type = choose_device_type(device)
    if device_type == "cuda" and ":" not in device:
        return _place_on_gpus(dtype, num_weight_bytes)
    placement = Placement(torch.device(device if ":" in device else device_type), dtype)
    _check_fits(placement.device, num_weight_bytes)
    return placement


def _place_on_gpus(dtype: torch.dtype, num_weight_bytes: int) -> Placement:
    num_gpus = torch.cuda.device_count()
    gpus = [torch.device("cuda", index) for index in range(num_gpus)]
    roomiest = max(gpus, key=free_bytes)
    _check_fits(roomiest, num_weight_bytes)
    if num_gpus == 1:
        return Placement(roomiest, dtype)
    size = f"{num_weight_bytes / 2**30:.1f} GiB"
    return Placement(roomiest, dtype, f"{roomiest} of {num_gpus} GPUs serves alone: the weights ({size}) fit on it")


def _check_fits(device: torch.device, num_weight_bytes: int) -> None:
    num_free_bytes = free_bytes(device)
    if num_weight_bytes > num_free_bytes:
        raise ModelRefused(
            f"the weights need {num_weight_bytes / 2**30:.2f} GiB, "
            f"and {device} has {num_free_bytes / 2**30:.2f} GiB free"
        )
