"""Chooses the device and the number format that a model runs in, and says why."""

from dataclasses import dataclass

import torch
from sarathi_kernels.layers import TorchLayers
from sarathi_kernels.quantized import Quantization

from sarathid.errors import ConfigError, ModelRefused
from sarathid.executor.memory import free_bytes
from sarathid.models.layers.context import LayerContext
from sarathid.models.model_config import ModelConfig
from sarathid.models.registry import build_model
from sarathid.models.share import ModelShare

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs, in which format, and what its weights take there; `note` says why that device."""

    device: torch.device
    dtype: torch.dtype
    num_weight_bytes: int
    note: str | None = None


def place(
    device: str, dtype: str, quantization: Quantization | None, share: ModelShare, local_index: int | None = None
) -> Placement:
    """Return where `share` runs, with `device`, `dtype` and `quantization` as configured.

    Of several GPUs, rank `local_index` of a node takes the one of that number, and one that is alone (None) the one
    with most memory free. Raises `ConfigError` for a device that is not there or a format that is unknown, and
    `ModelRefused`, with the numbers, when the weights fit nowhere.
    """
    kind = device_type(device)
    found_dtype = _choose_dtype(dtype, kind)
    num_weight_bytes = _count_weight_bytes(share, found_dtype, quantization)
    if kind == "cuda" and local_index is not None:
        chosen, note = _gpu_of_rank(device, local_index), None
    elif kind == "cuda" and ":" not in device:
        chosen = max(_gpus(), key=free_bytes)
        note = _gpu_note(chosen, num_weight_bytes)
    else:
        chosen, note = torch.device(device if ":" in device else kind), None
    _check_fits(chosen, num_weight_bytes)
    return Placement(chosen, found_dtype, num_weight_bytes, note)


def device_type(name: str) -> str:
    """Return `cpu` or `cuda` for a device as it is configured; raises `ConfigError` for one that is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise ConfigError(f"device {name!r} is not one of auto, cpu, cuda, cuda:0, ...")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r} was asked for, and torch finds no CUDA device")
    return kind


def _choose_dtype(name: str, device_type: str) -> torch.dtype:
    """Return the named format; `auto` is bfloat16 on a GPU and float32 on CPU.

    Without AVX-512 torch multiplies bfloat16 matrices 2x (1 row) to 9x (512 rows) slower than float32 ones.
    """
    if name == "auto":
        return torch.bfloat16 if device_type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise ConfigError(f"dtype {name!r} is not one of auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]


def checkpoint_names(model: ModelConfig) -> frozenset[str]:
    """Return the names of all weights that the ranks of a model load among them."""
    context = LayerContext(torch.device("meta"), torch.float32, TorchLayers())
    return frozenset(tensor.name for tensor in build_model(ModelShare.whole(model), 1, context).checkpoint_tensors())


def _count_weight_bytes(share: ModelShare, dtype: torch.dtype, quantization: Quantization | None) -> int:
    shapes = build_model(share, 1, LayerContext(torch.device("meta"), dtype, TorchLayers(), quantization))
    return sum(tensor.destination.nbytes for tensor in shapes.checkpoint_tensors())


def _gpu_of_rank(device: str, local_index: int) -> torch.device:
    if ":" in device:
        raise ConfigError(f"device {device!r} is one GPU, and each rank takes one; say cuda")
    gpus = _gpus()
    if local_index >= len(gpus):
        raise ConfigError(f"rank {local_index} of this node has no GPU: there are {len(gpus)}; give fewer --tp x --pp")
    return gpus[local_index]


def _gpus() -> list[torch.device]:
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]


def _gpu_note(chosen: torch.device, num_weight_bytes: int) -> str | None:
    num_gpus = torch.cuda.device_count()
    if num_gpus == 1:
        return None
    return f"{chosen} of {num_gpus} GPUs serves alone: the weights ({num_weight_bytes / 2**30:.1f} GiB) fit on it"


def _check_fits(device: torch.device, num_weight_bytes: int) -> None:
    num_free_bytes = free_bytes(device)
    if num_weight_bytes > num_free_bytes:
        raise ModelRefused(
            f"the weights need {num_weight_bytes / 2**30:.2f} GiB, "
            f"and {device} has {num_free_bytes / 2**30:.2f} GiB free"
        )
