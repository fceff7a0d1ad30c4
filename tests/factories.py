"""Builders for what tests need, with every default spelled once."""

from collections import deque
from typing import Any

import msgspec

from sarathid.clock import VirtualClock
from sarathid.config import EngineConfig
from sarathid.costmodel.pipeline import StageWork
from sarathid.engine.assembly import build_core, engine_info
from sarathid.engine.core import EngineCore
from sarathid.executor.base import ExecutorInfo, ExecutorOutput
from sarathid.protocol.changes import Figures
from sarathid.protocol.plan import Forecast, Planned
from sarathid.protocol.requests import PrefillOrder, Request, SamplingParams
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import (
    Blocker,
    ChunkStats,
    EngineInfo,
    EngineSettings,
    FirstToken,
    IterationStats,
    RequestStats,
    StageTime,
    TokenGap,
)
from sarathid.protocol.step import StepOutput
from sarathid.scheduler.batch import AWAITED_TOKEN, Drawn, ScheduledBatch, ScheduledSequence

VOCAB_SIZE = 1000
EOS = 0


def make_request(
    request_id: int = 1,
    num_prompt_tokens: int = 8,
    *,
    max_tokens: int | None = 8,
    arrival_s: float = 0.0,
    output_token_ids: tuple[int, ...] = (),
    ignore_eos: bool = True,
    topic: int | None = None,
    cache_salt: str = "",
    owner: str = "",
    priority: int = 0,
) -> Request:
    """Return a greedy request whose prompt is told by its length and its topic, which is its id by default."""
    first = 31 * (request_id if topic is None else topic)
    return Request(
        request_id=request_id,
        prompt_token_ids=tuple(1 + (first + i) % (VOCAB_SIZE - 1) for i in range(num_prompt_tokens)),
        cache_salt=cache_salt,
        owner=owner,
        priority=priority,
        sampling=SamplingParams(max_tokens=max_tokens, temperature=0.0, ignore_eos=ignore_eos),
        arrival_s=arrival_s,
        output_token_ids=output_token_ids,
    )


def next_token(context: tuple[int, ...]) -> int:
    """Return the token that the arithmetic model gives behind `context`, never the end of sequence."""
    return 1 + hash(context) % (VOCAB_SIZE - 1)


def expected_output(request: Request, num_tokens: int) -> list[int]:
    """Return the first `num_tokens` output tokens of an undisturbed run of the arithmetic model."""
    context = list(request.prompt_token_ids)
    for _ in range(num_tokens):
        context.append(next_token(tuple(context)))
    return context[len(request.prompt_token_ids) :]


class ArithmeticExecutor:
    """A model whose next token is a hash of the context that it finds in its paged cache.

    A position that was never written, was overwritten by another request, or is read through a
    wrong block table changes the output, just as it would in a real cache.
    """

    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        max_model_len: int,
        clock: VirtualClock,
        max_batches_in_flight: int = 1,
        *,
        runs_ahead: bool = False,
    ) -> None:
        self.max_batches_in_flight = 2 if runs_ahead else max_batches_in_flight
        self.runs_ahead = runs_ahead
        self.batches: list[ScheduledBatch] = []
        self.rows_without_numbers: set[int] = set()
        self._info = make_executor_info(num_blocks, block_size, max_model_len)
        self._slots: list[int | None] = [None] * (num_blocks * block_size)
        self._submitted: deque[ScheduledBatch] = deque()
        self._clock = clock
        self._newest: dict[int, int | None] = {}  # the tokens that the newest batch drew, by request

    def start(self) -> ExecutorInfo:
        return self._info

    def submit(self, batch: ScheduledBatch) -> None:
        self.batches.append(batch)
        self._submitted.append(batch)

    def probe(self) -> None:
        """Nothing: who asks is who computes."""

    def collect(self) -> ExecutorOutput:
        batch = self._submitted.popleft()
        work = StageWork(self._clock.now_s(), 0.01 + 0.001 * batch.num_tokens)
        self._clock.advance(work.busy_s)
        for sequence in batch.sequences:
            for offset, token_id in enumerate(sequence.token_ids):
                known = self._newest[sequence.request_id] if token_id == AWAITED_TOKEN else token_id
                self._slots[self._slot(sequence, sequence.first_position + offset)] = known
        self._newest = {
            sequence.request_id: self._sample(sequence) for sequence in batch.sequences if sequence.sampling is not None
        }
        return ExecutorOutput(Drawn(tuple(self._newest.values())), (work,))

    def close(self) -> None:
        self._submitted.clear()

    def _sample(self, sequence: ScheduledSequence) -> int | None:
        if sequence.request_id in self.rows_without_numbers:
            return None
        context = tuple(self._slots[self._slot(sequence, position)] for position in range(sequence.context_len))
        assert None not in context, "a position was read that nobody wrote"
        return next_token(tuple(token for token in context if token is not None))

    def _slot(self, sequence: ScheduledSequence, position: int) -> int:
        size = self._info.block_size
        return sequence.block_ids[position // size] * size + position % size


def make_executor_info(num_blocks: int = 64, block_size: int = 4, max_model_len: int = 256) -> ExecutorInfo:
    return ExecutorInfo(
        model="arithmetic",
        device="cpu",
        dtype="int",
        layout="tp1-pp1",
        attention_backend="none",
        num_blocks=num_blocks,
        block_size=block_size,
        kv_cache_bytes=num_blocks * block_size * 8,
        weight_bytes=0,
        vocab_size=VOCAB_SIZE,
        max_model_len=max_model_len,
        eos_token_ids=frozenset({EOS}),
        isolated_decode_s=0.01,
        num_threads=1,
    )


class Engine:
    """A core over the arithmetic model, with what it was given and what it gave."""

    def __init__(
        self,
        *,
        num_blocks: int = 64,
        block_size: int = 4,
        max_model_len: int | None = None,
        max_num_seqs: int = 16,
        token_budget: int = 16,
        policy: str = "stall-free",
        max_batches_in_flight: int = 1,
        slo_tbt: str | None = "1s",
        prefill_order: PrefillOrder = PrefillOrder.ARRIVAL,
        prefix_cache: bool = False,
        runs_ahead: bool = False,
    ) -> None:
        self.clock = VirtualClock()
        model_len = min(num_blocks * block_size, 256) if max_model_len is None else max_model_len
        self.executor = ArithmeticExecutor(
            num_blocks, block_size, model_len, self.clock, max_batches_in_flight, runs_ahead=runs_ahead
        )
        config = EngineConfig(
            max_num_seqs=max_num_seqs,
            token_budget=token_budget,
            min_token_budget=1,
            max_token_budget=4096,
            policy=policy,
            slo_tbt=slo_tbt,
            prefill_order=prefill_order,
            prefix_cache=prefix_cache,
        )
        self.core: EngineCore = build_core(config, self.executor, self.executor.start(), self.clock)
        self.outputs: dict[int, list[int]] = {}
        self.reasons: dict[int, str] = {}
        self.iterations: list[IterationStats] = []
        self.finished: list[RequestStats] = []

    @staticmethod
    def info() -> EngineInfo:
        """Return what an engine of default size says of itself."""
        config = EngineConfig(token_budget=16, min_token_budget=1, max_token_budget=4096)
        return engine_info(config, make_executor_info(), engine_pid=1)

    def add(self, request: Request) -> None:
        self.core.add(request)
        self.outputs[request.request_id] = list(request.output_token_ids)

    def step(self) -> IterationStats | None:
        """Run one iteration and note what it gave."""
        return self.take(self.core.step())

    def take(self, output: StepOutput | None) -> IterationStats | None:
        """Note what an iteration, or a cancellation, gave."""
        if output is None:
            return None
        for delta in output.deltas:
            if delta.token_id is not None:
                self.outputs[delta.request_id].append(delta.token_id)
            if delta.finish_reason is not None:
                self.reasons[delta.request_id] = delta.finish_reason
        self.finished += output.finished
        if output.stats is not None:
            self.iterations.append(output.stats)
        return output.stats

    def run(self, max_iterations: int = 10_000) -> None:
        """Step until nothing is left to do."""
        for _ in range(max_iterations):
            if not self.core.has_work:
                return
            self.step()
        raise AssertionError(f"still at work after {max_iterations} iterations")


def make_iteration(
    sequence_number: int = 0,
    *,
    start_s: float = 0.0,
    execute_s: float = 0.05,
    schedule_s: float = 0.0,
    emit_s: float = 0.0,
    idle_s: float = 0.0,
    gc_s: float = 0.0,
    num_decode_tokens: int = 1,
    chunks: tuple[ChunkStats, ...] = (),
    preempted: tuple[int, ...] = (),
    gaps: tuple[TokenGap, ...] = (),
    first_tokens: tuple[FirstToken, ...] = (),
    finished: tuple[int, ...] = (),
    predicted_s: float | None = None,
    predicted_decode_s: float | None = None,
    blocked_by: Blocker | None = None,
    stages: tuple[StageTime, ...] = (),
) -> IterationStats:
    return IterationStats(
        sequence_number=sequence_number,
        start_s=start_s,
        schedule_s=schedule_s,
        execute_s=execute_s,
        emit_s=emit_s,
        idle_s=idle_s,
        gc_s=gc_s,
        policy="stall-free",
        revision=0,
        token_budget=128,
        num_decode_tokens=num_decode_tokens,
        chunks=chunks,
        num_running=num_decode_tokens + len(chunks),
        num_waiting=0,
        num_preempted=0,
        preempted=preempted,
        num_blocks_used=0,
        num_blocks_free=0,
        gaps=gaps,
        first_tokens=first_tokens,
        finished=finished,
        predicted_s=predicted_s,
        predicted_decode_s=predicted_decode_s,
        blocked_by=blocked_by,
        stages=stages,
    )


def make_figures(tbt_p99_s: float | None = 0.1, **fields: Any) -> Figures:
    """Return figures of five minutes in which requests were served."""
    figures = Figures(
        window_s=300.0,
        tbt_p50_s=0.02,
        tbt_p99_s=tbt_p99_s,
        ttft_p50_s=0.5,
        ttft_p95_s=0.9,
        ttft_p99_s=1.0,
        tokens_per_s=100.0,
        num_stalls=7,
    )
    return msgspec.structs.replace(figures, **fields)


def make_planned(forecasts: tuple[Forecast, ...] = (), **fields: Any) -> Planned:
    """Return the plan of a busy daemon, whose replay gives what was observed."""
    settings = EngineSettings(revision=3, token_budget=128, policy="stall-free", slo=SLO(tbt_s=0.2))
    planned = Planned(
        span_s=300.0,
        profile="cpu/tiny-tp1",
        correction=1.25,
        num_requests=40,
        num_guessed=0,
        num_left_out=0,
        current=settings,
        observed=make_figures(),
        replayed=make_figures(),
        forecasts=forecasts,
    )
    return msgspec.structs.replace(planned, **fields)
