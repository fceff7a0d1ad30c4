"""How much memory there is, and how many KV blocks and positions it buys."""

from dataclasses import dataclass
from pathlib import Path

import torch

from sarathid.errors import ModelRefused

_MEMINFO = Path("/proc/meminfo")
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_CGROUP_USED = Path("/sys/fs/cgroup/memory.current")

# What an engine takes for its KV cache where nobody said how much: on CPU others need memory too.
_CPU_SHARE = 0.25
_CUDA_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class KVPlan:
    """The size of the KV cache; `note` says what was cut and why, None where nothing was."""

    num_blocks: int
    max_model_len: int
    note: str | None = None


def free_bytes(device: torch.device) -> int:
    """Return the bytes that can still be taken: the GPU's, or the machine's within the control group's limit."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    available = _meminfo_available_bytes()
    if _CGROUP_LIMIT.exists() and (limit := _CGROUP_LIMIT.read_text(encoding="ascii").strip()) != "max":
        used = int(_CGROUP_USED.read_text(encoding="ascii"))
        return max(0, min(available, int(limit) - used))
    return available


def kv_budget_bytes(asked_bytes: int | None, num_free_bytes: int, device: torch.device) -> int:
    """Return what the KV cache may take of the memory that the weights leave free.

    Raises `ModelRefused`, with the numbers, when more than that was asked for.
    """
    if asked_bytes is None:
        return int(max(0, num_free_bytes) * (_CUDA_SHARE if device.type == "cuda" else _CPU_SHARE))
    if asked_bytes > num_free_bytes:
        raise ModelRefused(
            f"a KV cache of {asked_bytes / 2**20:.1f} MiB was asked for, and beside the weights {device} has "
            f"{max(0, num_free_bytes) / 2**20:.1f} MiB free; give less --kv-memory"
        )
    return asked_bytes


def plan_kv_cache(
    num_affordable: int,
    block_size: int,
    bytes_per_token: int,
    max_num_seqs: int,
    max_positions: int,
    asked_model_len: int | None,
) -> KVPlan:
    """Return how many blocks to take, of `num_affordable` at most, and the longest sequence to serve.

    `bytes_per_token` is what a position takes over all ranks. No more blocks than `max_num_seqs` sequences of that
    length can fill. Raises `ModelRefused`, with the numbers, when `asked_model_len` does not fit, or not one block.
    """
    if asked_model_len is not None and asked_model_len > max_positions:
        raise ModelRefused(f"a length of {asked_model_len} was asked for, and the model has {max_positions} positions")
    max_model_len = asked_model_len or max_positions
    capacity = num_affordable * block_size
    if capacity < (asked_model_len or 1):
        needed_mib, found_mib = (length * bytes_per_token / 2**20 for length in (max_model_len, capacity))
        raise ModelRefused(
            f"a sequence of {max_model_len} tokens needs {needed_mib:.1f} MiB of KV cache, and there are "
            f"{found_mib:.1f} MiB; give more --kv-memory or a smaller --max-model-len"
        )
    note = None
    if capacity < max_model_len:
        note = f"sequences are cut at {capacity} of the model's {max_model_len} positions: the KV cache holds no more"
        max_model_len = capacity
    num_useful = -(-max_model_len // block_size) * max_num_seqs
    return KVPlan(min(num_affordable, num_useful), max_model_len, note)


def _meminfo_available_bytes() -> int:
    for line in _MEMINFO.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise ModelRefused(f"{_MEMINFO} does not say how much memory is available; give --kv-memory")
