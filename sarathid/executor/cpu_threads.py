"""How many threads the engine may keep busy, and how they wait; loads no torch, so that it can be asked before."""

import math
import os
from pathlib import Path

_CGROUP_V2_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CGROUP_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
_FEW_CORES = 4


def usable_cores() -> int:
    """Return how many cores this process may use: its affinity, and its control group's quota rounded up."""
    allowed = len(os.sched_getaffinity(0))
    quota = _quota_cores()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def engine_environment(num_threads: int | None = None, num_processes: int = 1) -> dict[str, str]:
    """Return the variables that a process that computes must find set when it loads torch.

    OpenMP threads that have nothing to do spin, and with few cores they spin on the one that the
    daemon needs: there they sleep at once. Weights and caches lie in huge pages where the system
    grants them. `num_threads` None is `usable_cores()`; `num_processes` have as many each.
    """
    threads = num_threads or usable_cores()
    environment = {"OMP_NUM_THREADS": str(threads), "THP_MEM_ALLOC_ENABLE": "1"}
    if usable_cores() <= _FEW_CORES or threads * num_processes >= usable_cores():
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
    return environment


def thread_note(num_threads: int) -> str:
    """Return how many threads compute, and how they wait."""
    waiting = os.environ.get("OMP_WAIT_POLICY", "active").lower()
    return f"{num_threads} threads of {usable_cores()} usable cores, {waiting} waiting"


def _quota_cores() -> float | None:
    if _CGROUP_V2_QUOTA.exists():
        quota, _, period = _CGROUP_V2_QUOTA.read_text(encoding="ascii").strip().partition(" ")
        return None if quota == "max" else int(quota) / int(period)
    if _CGROUP_V1_QUOTA.exists() and _CGROUP_V1_PERIOD.exists():
        quota_us = int(_CGROUP_V1_QUOTA.read_text(encoding="ascii"))
        return None if quota_us <= 0 else quota_us / int(_CGROUP_V1_PERIOD.read_text(encoding="ascii"))
    return None
