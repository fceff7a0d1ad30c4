"""Runs made-up batches before the first real one, and measures the isolated decode iteration."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput, ScheduledBatch, ScheduledSequence

_NUM_WARM_RUNS = 2
_NUM_TIMED_RUNS = 8
_CHUNK_LEN = 64
_GREEDY = SamplingInput(params=SamplingParams(temperature=0.0), num_output_tokens=0)


@dataclass(frozen=True, slots=True)
class DecodeShape:
    """How many sequences decode, and how long the context of each is."""

    num_seqs: int
    context_len: int


_SHAPES = {"cpu": DecodeShape(8, 512), "cuda": DecodeShape(32, 4096)}
RunBatch: TypeAlias = Callable[[ScheduledBatch], object]


def isolated_decode_s(run: RunBatch, shape: DecodeShape, block_size: int) -> float:
    """Return the seconds of the fastest of a few decode-only iterations, after a chunk and some unmeasured ones.

    The fastest is the one that other programs disturbed least.

    The KV cache must hold `shape`; what stands in it does not matter and is overwritten in part.
    """
    num_blocks = -(-shape.context_len // block_size)
    run(ScheduledBatch(chunks=(_chunk(min(_CHUNK_LEN, shape.context_len), num_blocks),)))
    batch = ScheduledBatch(
        decodes=tuple(_decode(index, shape.context_len, num_blocks) for index in range(shape.num_seqs))
    )
    for _ in range(_NUM_WARM_RUNS):
        run(batch)
    return min(_timed_s(run, batch) for _ in range(_NUM_TIMED_RUNS))


def shape_for(device: str, max_num_seqs: int, max_model_len: int, num_blocks: int, block_size: int) -> DecodeShape:
    """Return the device's shape cut to the limits, and to fewer sequences where the blocks hold no more."""
    wanted = _SHAPES[device.partition(":")[0]]
    context_len = min(wanted.context_len, max_model_len)
    num_held = num_blocks // -(-context_len // block_size)
    return DecodeShape(min(wanted.num_seqs, max_num_seqs, num_held), context_len)


def _timed_s(run: RunBatch, batch: ScheduledBatch) -> float:
    start_s = time.perf_counter()
    run(batch)
    return time.perf_counter() - start_s


def _chunk(num_tokens: int, num_blocks: int) -> ScheduledSequence:
    return ScheduledSequence(
        request_id=0,
        token_ids=(0,) * num_tokens,
        first_position=0,
        block_ids=tuple(range(num_blocks)),
        sampling=_GREEDY,
    )


def _decode(index: int, context_len: int, num_blocks: int) -> ScheduledSequence:
    return ScheduledSequence(
        request_id=index,
        token_ids=(0,),
        first_position=context_len - 1,
        block_ids=tuple(range(index * num_blocks, (index + 1) * num_blocks)),
        sampling=_GREEDY,
        num_output_tokens=1,
    )
