"""How near iterations of a model with dummy weights come to what the device can read and multiply."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import torch

from sarathid.clock import MonotonicClock
from sarathid.costmodel.features import ChunkShape
from sarathid.executor.profiler import BatchShape, measure
from tests.gpu.mistral import Loaded
from tests.gpu.report import Row, Verdict

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


def measure_iterations(model: Loaded, contexts: tuple[int, ...], speed: Device) -> Iterator[Row]:
    """Yield a row for decodes of each number and context, and for chunks of each length."""
    yield Row("isolated decode iteration", Verdict.MEASURED, f"{model.info.isolated_decode_s * 1e3:.2f} ms")
    for context in contexts:
        for num_decodes in NUM_DECODES:
            yield _decode_row(model, BatchShape(num_decodes, context), speed)
    for length in CHUNKS:
        yield _chunk_row(model, length, speed)


def lack_of_blocks(model: Loaded, shape: BatchShape) -> str | None:
    """Return why the KV cache does not hold a batch of that shape, None if it does."""
    info = model.info
    num_blocks = sum(-(-context // info.block_size) for context in shape.contexts)
    if num_blocks <= info.num_blocks and max(shape.contexts) <= info.max_model_len:
        return None
    return f"it takes {num_blocks} blocks, and there are {info.num_blocks}"


def _decode_row(model: Loaded, shape: BatchShape, speed: Device) -> Row:
    what = f"{shape.num_decodes} decodes of context {shape.context_len}"
    if (lack := lack_of_blocks(model, shape)) is not None:
        return Row(what, Verdict.NOT_AVAILABLE, lack)
    info = model.info
    seconds = measure(model.executor, info, shape, MonotonicClock()).seconds
    kv_bytes = info.kv_cache_bytes / (info.num_blocks * info.block_size) * shape.num_decodes * shape.context_len
    share = (info.weight_bytes + kv_bytes) / speed.bytes_per_s / seconds
    return Row(what, Verdict.MEASURED, f"{seconds * 1e3:.2f} ms, {share:.0%} of the measured bandwidth")


def _chunk_row(model: Loaded, length: int, speed: Device) -> Row:
    what = f"a chunk of {length} tokens"
    shape = BatchShape(chunks=(ChunkShape(length, 0),))
    if (lack := lack_of_blocks(model, shape)) is not None:
        return Row(what, Verdict.NOT_AVAILABLE, lack)
    info = model.info
    seconds = measure(model.executor, info, shape, MonotonicClock()).seconds
    num_weights = info.weight_bytes / (4 if info.dtype == "float32" else 2)
    share = 2 * num_weights * length / speed.flops_per_s / seconds  # attention's own products not counted
    return Row(what, Verdict.MEASURED, f"{seconds * 1e3:.2f} ms, {share:.0%} of the measured matrix rate")
