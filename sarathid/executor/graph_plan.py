"""Decides which decode-only batches a rank captures, and captures them: without it all runs as well, but slower."""

from dataclasses import dataclass

import torch
from sarathi_kernels.backend import AttentionBackend
from sarathi_kernels.quantized import MAX_SKINNY_ROWS

from sarathid.config import EngineConfig
from sarathid.errors import ConfigError
from sarathid.executor.cuda_graphs import CudaCapture
from sarathid.executor.decode_graphs import Capture, DecodeSize, GraphsUnavailable, decode_sizes
from sarathid.executor.graph_memory import graph_bytes
from sarathid.executor.memory import free_bytes
from sarathid.executor.model_runner import ModelRunner
from sarathid.executor.placement import Placement
from sarathid.executor.progress import Progress
from sarathid.models.share import ModelShare


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """The sizes that are captured, and the bytes that are set aside for them; none where nothing is.

    Where that should have been, `note` says why it can't.
    """

    sizes: tuple[DecodeSize, ...] = ()
    num_bytes: int = 0
    note: str | None = None


def plan_graphs(
    config: EngineConfig,
    share: ModelShare,
    placement: Placement,
    attention: AttentionBackend,
    *,
    is_quantized: bool,
    is_captured_here: bool,
) -> GraphPlan:
    """Return what a share captures on its device; `is_captured_here` where that is known to be possible.

    Raises `ConfigError` where it was asked for and can't be.
    """
    if config.cuda_graphs == "off":
        return GraphPlan()
    device = placement.device
    if not is_captured_here:
        if device.type != "cuda":
            return GraphPlan() if config.cuda_graphs == "auto" else without_graphs(config, f"{device} has none")
        if share.num_parts > 1:
            return without_graphs(config, "ranks that sum up the parts of a layer are not captured")
        if not attention.can_be_captured:
            return without_graphs(config, f"{attention.name} attention looks at the device from the host")
    max_model_len = config.max_model_len or share.config.max_position_embeddings
    most_rows = MAX_SKINNY_ROWS if is_quantized else None  # floats that are unpacked in a graph stay with it
    sizes = decode_sizes(config.max_num_seqs, max_model_len, most_rows)
    return GraphPlan(sizes, graph_bytes(share, placement.dtype.itemsize, sizes))


def without_graphs(config: EngineConfig, reason: str) -> GraphPlan:
    """Return the plan of who captures nothing; raises `ConfigError` where that was asked for."""
    if config.cuda_graphs == "on":
        raise ConfigError(f"--cuda-graphs on can't be: {reason}; leave it at auto")
    return GraphPlan(note=f"decodes are launched one by one, not as CUDA graphs: {reason}")


def capture_decodes(
    config: EngineConfig,
    plan: GraphPlan,
    runner: ModelRunner,
    device: torch.device,
    max_model_len: int,
    capture: Capture | None = None,
) -> str | None:
    """Capture what is planned, by `capture` or as CUDA graphs, and return what to tell of it.

    Raises `ConfigError` where it was asked for and fails.
    """
    sizes = tuple(dict.fromkeys(size.within(max_model_len) for size in plan.sizes))
    if not sizes:
        return plan.note
    num_free_bytes = _settled_free_bytes(device)
    progress = Progress(lambda num_done: f"capturing decodes: {num_done} of {len(sizes)} CUDA graphs")
    try:
        runner.capture_decodes(sizes, capture or CudaCapture(device), progress)
    except GraphsUnavailable as error:
        return without_graphs(config, str(error)).note
    largest, taken_bytes = sizes[-1], max(0, num_free_bytes - _settled_free_bytes(device))
    return (
        f"up to {largest.num_rows} decodes of up to {largest.context_len} positions run as one of {len(sizes)} "
        f"CUDA graphs, which take {taken_bytes / 2**20:.0f} MiB of {plan.num_bytes / 2**20:.0f} set aside"
    )


def _settled_free_bytes(device: torch.device) -> int:
    """Return what is free once torch has given back what it holds and nothing uses."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return free_bytes(device)
