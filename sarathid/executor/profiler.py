"""Measures what iterations cost on an executor, by running made-up batches of many shapes."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from sarathid.clock import Clock
from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.costmodel.fit import Sample, SentStream
from sarathid.costmodel.pipeline import StageWork
from sarathid.executor.base import Executor, ExecutorInfo
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput, ScheduledBatch, ScheduledSequence

_NUM_RUNS = 3
_TOKEN_ID = 1
_GREEDY = SamplingInput(params=SamplingParams(temperature=0.0), num_output_tokens=0)

_NUM_DECODES = (1, 2, 4, 8, 16, 32, 64, 128)
_CONTEXTS = (16, 128, 512, 2048, 4096)
_CHUNKS = (1, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048)
_POSITIONS = (0, 256, 1024, 4096)
_MIXED_DECODES = (2, 8, 32)
_MIXED_CHUNKS = (16, 64, 128, 256, 512)
_SENT_CHUNKS = (1, 16, 64, 128, 256, 512, 1024)
_LEAST_SEND_S = 1e-6


@dataclass(frozen=True, slots=True)
class BatchShape:
    """So many decodes, each with a context of that length, and chunks."""

    num_decodes: int = 0
    context_len: int = 0
    chunks: tuple[ChunkShape, ...] = ()

    @property
    def features(self) -> IterationFeatures:
        return IterationFeatures(self.num_decodes, self.num_decodes * self.context_len, self.chunks)

    @property
    def contexts(self) -> tuple[int, ...]:
        """The positions that each sequence attends to, decodes first."""
        chunks = tuple(chunk.first_position + chunk.num_tokens for chunk in self.chunks)
        return (self.context_len,) * self.num_decodes + chunks


@dataclass(frozen=True, slots=True)
class _Run:
    """One batch's way through the stages, as whoever submitted and collected it saw it."""

    submitted_s: float
    stages: tuple[StageWork, ...]
    collected_s: float

    def stage_seconds(self, before: "_Run") -> Iterator[float]:
        """Yield how long each stage worked; to the first and the last belongs what handing over to them takes."""
        ends_s = [*(stage.end_s for stage in self.stages[:-1]), self.collected_s]
        first_free_s = before.collected_s if len(ends_s) == 1 else before.stages[0].end_s
        starts_s = [max(self.submitted_s, first_free_s), *(stage.start_s for stage in self.stages[1:])]
        for start_s, end_s in zip(starts_s, ends_s, strict=True):
            yield end_s - start_s


def shapes() -> Iterator[BatchShape]:
    """Yield decodes alone, chunks alone, two chunks, and chunks beside decodes."""
    for num_decodes in _NUM_DECODES:
        for context_len in _CONTEXTS:
            yield BatchShape(num_decodes, context_len)
    for num_tokens in _CHUNKS:
        for first_position in _POSITIONS:
            yield BatchShape(chunks=(ChunkShape(num_tokens, first_position),))
            yield BatchShape(chunks=(ChunkShape(num_tokens, first_position), ChunkShape(num_tokens, 0)))
    for num_decodes in _MIXED_DECODES:
        for num_tokens in _MIXED_CHUNKS:
            for length in _CONTEXTS[1:-1]:
                yield BatchShape(num_decodes, length, (ChunkShape(num_tokens, length),))


def measurable(info: ExecutorInfo, max_num_seqs: int, max_num_tokens: int) -> tuple[BatchShape, ...]:
    """Return the shapes that the executor has blocks for, and that a scheduler within these limits would make."""

    def fits(shape: BatchShape) -> bool:
        num_blocks = sum(-(-context // info.block_size) for context in shape.contexts)
        num_tokens = shape.num_decodes + shape.features.num_prefill_tokens
        return (
            num_blocks <= info.num_blocks
            and max(shape.contexts) <= info.max_model_len
            and len(shape.contexts) <= max_num_seqs
            and num_tokens <= max_num_tokens
        )

    return tuple(filter(fits, shapes()))


def measure(
    executor: Executor, info: ExecutorInfo, shape: BatchShape, clock: Clock, on_run: Callable[[], None] = lambda: None
) -> Sample:
    """Return the shape's features and the median seconds that each stage took in three runs, while all stages work.

    As many runs as there are stages fill the pipeline before them, and keep it full behind them; these do not count.
    What stands in the KV cache does not matter and is overwritten in part.
    """
    batch, depth = made_up_batch(shape, info.block_size), executor.max_batches_in_flight
    num_left = depth + _NUM_RUNS + depth - 1
    submitted_s, runs = deque[float](), list[_Run]()
    while num_left or submitted_s:
        while num_left and len(submitted_s) < depth:
            submitted_s.append(clock.now_s())
            executor.submit(batch)
            num_left -= 1
        stages = executor.collect().stages
        runs.append(_Run(submitted_s.popleft(), stages, clock.now_s()))
        on_run()
    counted = pairwise(runs[depth - 1 : depth + _NUM_RUNS])
    times_s = [run.stage_seconds(before) for before, run in counted]
    return Sample(shape.features, tuple(median(of_stage) for of_stage in zip(*times_s, strict=True)))


def measure_sends(executor: Executor, info: ExecutorInfo, max_num_tokens: int) -> tuple[SentStream, ...]:
    """Return how long residual streams of several lengths were on their way to a stage that waits for them."""
    most = min(max_num_tokens, info.max_model_len, info.num_blocks * info.block_size)
    found = []
    for num_tokens in sorted({most, *(length for length in _SENT_CHUNKS if length < most)}):
        batch = made_up_batch(BatchShape(chunks=(ChunkShape(num_tokens, 0),)), info.block_size)
        runs_s = []
        for _ in range(1 + _NUM_RUNS):
            executor.submit(batch)
            stages = executor.collect().stages
            runs_s.append(median(stage.start_s - before.end_s for before, stage in pairwise(stages)))
        found.append(SentStream(num_tokens, max(_LEAST_SEND_S, median(runs_s[1:]))))
    return tuple(found)


def made_up_batch(shape: BatchShape, block_size: int) -> ScheduledBatch:
    """Return a batch of that shape, each sequence in blocks of its own."""
    num_decodes = shape.num_decodes
    num_tokens = (1,) * num_decodes + tuple(chunk.num_tokens for chunk in shape.chunks)
    sequences = []
    next_block = 0
    for request_id, (length, context_len) in enumerate(zip(num_tokens, shape.contexts, strict=True)):
        num_blocks = -(-context_len // block_size)
        sequences.append(
            ScheduledSequence(
                request_id=request_id,
                token_ids=(_TOKEN_ID,) * length,
                first_position=context_len - length,
                block_ids=tuple(range(next_block, next_block + num_blocks)),
                sampling=_GREEDY,
                num_output_tokens=int(request_id < num_decodes),
            )
        )
        next_block += num_blocks
    return ScheduledBatch(decodes=tuple(sequences[:num_decodes]), chunks=tuple(sequences[num_decodes:]))
