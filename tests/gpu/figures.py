"""How near iterations of a model with dummy weights come to what the device can read and multiply."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from sarathid.clock import MonotonicClock
from sarathid.config import EngineConfig
from sarathid.costmodel.features import ChunkShape
from sarathid.executor.base import ExecutorInfo
from sarathid.executor.local import LocalExecutor
from sarathid.executor.profiler import BatchShape, measure
from tests.gpu.report import Row, Verdict

MISTRAL_7B: dict[str, Any] = {
    "architectures": ["MistralForCausalLM"],
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-5,
}
NUM_DECODES = (1, 8, 32, 64, 128)
CONTEXTS = (512, 4096)
CHUNKS = (128, 256, 512, 1024, 2048, 4096)
NUM_RUNS = 5


@dataclass(frozen=True, slots=True)
class Device:
    """What was measured of a device: bytes that it reads a second, floating-point operations that it does."""

    bytes_per_s: float
    flops_per_s: float


def measure_device(device: torch.device, dtype: torch.dtype, num_bytes: int, side: int) -> Device:
    """Return how fast `num_bytes` are read and square matrices of `side` are multiplied, medians of a few runs."""
    large = torch.ones(num_bytes // 4, device=device)
    square = torch.ones(side, side, device=device, dtype=dtype)
    return Device(
        bytes_per_s=num_bytes / _seconds(device, lambda: large.sum()),
        flops_per_s=2 * side**3 / _seconds(device, lambda: square @ square),
    )


def _seconds(device: torch.device, run: Callable[[], object]) -> float:
    clock = MonotonicClock()
    runs_s = []
    for _ in range(1 + NUM_RUNS):
        start_s = clock.now_s()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        runs_s.append(clock.now_s() - start_s)
    return median(runs_s[1:])


def measure_iterations(
    device: torch.device, dtype: str, fields: dict[str, Any], contexts: tuple[int, ...], speed: Device, directory: Path
) -> Iterator[Row]:
    """Yield a row for decodes of each number and context, and for chunks of each length, all of dummy weights."""
    (directory / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    executor = LocalExecutor(
        EngineConfig(model=str(directory), device=str(device), dtype=dtype, load_format="dummy", max_model_len=8192)
    )
    info = executor.start()
    yield Row("isolated decode iteration", Verdict.MEASURED, f"{info.isolated_decode_s * 1e3:.2f} ms")
    for context in contexts:
        for num_decodes in NUM_DECODES:
            yield _decode_row(executor, info, BatchShape(num_decodes, context), speed)
    for length in CHUNKS:
        yield _chunk_row(executor, info, length, speed)
    executor.close()


def _decode_row(executor: LocalExecutor, info: ExecutorInfo, shape: BatchShape, speed: Device) -> Row:
    what = f"{shape.num_decodes} decodes of context {shape.context_len}"
    if shape.num_decodes * -(-shape.context_len // info.block_size) > info.num_blocks:
        return Row(what, Verdict.NOT_AVAILABLE, f"{info.num_blocks} blocks hold fewer")
    seconds = measure(executor, info, shape, MonotonicClock()).seconds
    kv_bytes = info.kv_cache_bytes / (info.num_blocks * info.block_size) * shape.num_decodes * shape.context_len
    share = (info.weight_bytes + kv_bytes) / speed.bytes_per_s / seconds
    return Row(what, Verdict.MEASURED, f"{seconds * 1e3:.2f} ms, {share:.0%} of the measured bandwidth")


def _chunk_row(executor: LocalExecutor, info: ExecutorInfo, length: int, speed: Device) -> Row:
    what = f"a chunk of {length} tokens"
    if -(-length // info.block_size) > info.num_blocks or length > info.max_model_len:
        return Row(what, Verdict.NOT_AVAILABLE, f"the KV cache holds {info.num_blocks * info.block_size} positions")
    seconds = measure(executor, info, BatchShape(chunks=(ChunkShape(length, 0),)), MonotonicClock()).seconds
    num_weights = info.weight_bytes / (4 if info.dtype == "float32" else 2)
    share = 2 * num_weights * length / speed.flops_per_s / seconds  # attention's own products not counted
    return Row(what, Verdict.MEASURED, f"{seconds * 1e3:.2f} ms, {share:.0%} of the measured matrix rate")
