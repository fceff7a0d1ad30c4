"""Stands in for devices that are not there: batches take the time that a cost profile says."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sarathid.clock import Timer
from sarathid.costmodel.features import IterationFeatures
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.pipeline import Pipeline, StageWork
from sarathid.errors import ConfigError
from sarathid.executor.base import ExecutorInfo, ExecutorOutput
from sarathid.protocol.logprobs import PromptLogprobs, TokenLogprobs
from sarathid.scheduler.batch import AWAITED_TOKEN, Drawn, ScheduledBatch, ScheduledSequence

VOCAB_SIZE = 1 << 16
TOKEN_ID = 1000  # a word in any vocabulary, not a special token
_NUM_CHAINED = 1000  # token ids from TOKEN_ID on that chains are of
_ISOLATED_NUM_SEQS = 32
_ISOLATED_CONTEXT_LEN = 4096


@dataclass(frozen=True, slots=True)
class _Submitted:
    stages: tuple[StageWork, ...]
    drawn: Drawn

    @property
    def finished_s(self) -> float:
        return self.stages[-1].end_s


class DevicePace(Protocol):
    """How a device differs from its profile."""

    def factor(self, features: IterationFeatures) -> float:
        """Return what the next iteration's time is multiplied by."""
        ...


class SimulatedExecutor:
    """An executor that answers with tokens that mean nothing, never the end of a sequence, when a real one would.

    A batch runs through the profile's pipeline stages, behind the batches before it; as many may be in flight
    as there are stages. Under a virtual clock a run takes no time but the scheduler's. `num_blocks` None is what the
    profile has memory for; a `pace` makes the device differ from its profile. With `chains` a token follows from the
    one before it and its place, so that an output tells whether one was lost, repeated or mixed up; else all are one.
    One stage may have two batches in flight, and go over to the second without the host: it `runs_ahead`.
    """

    def __init__(
        self,
        cost_model: IterationCostModel,
        clock: Timer,
        *,
        max_model_len: int,
        block_size: int,
        num_blocks: int | None = None,
        pace: DevicePace | None = None,
        chains: bool = False,
        runs_ahead: bool = False,
    ) -> None:
        self._pipeline = Pipeline(cost_model.num_stages)
        self._cost_model = cost_model
        self._clock = clock
        self._max_model_len = max_model_len
        self._block_size = block_size
        self._num_blocks = cost_model.profile.num_blocks(block_size) if num_blocks is None else num_blocks
        self._pace = pace
        self._chains = chains
        self.runs_ahead = runs_ahead and cost_model.num_stages == 1
        self.max_batches_in_flight = 2 if self.runs_ahead else cost_model.num_stages
        self._submitted: deque[_Submitted] = deque()
        self._newest: dict[int, int] = {}  # the tokens that the newest batch draws, by request

    def start(self) -> ExecutorInfo:
        """Return what the profile says of its devices.

        Raises `ConfigError` when the longest context does not fit into their KV cache.
        """
        profile = self._cost_model.profile
        if self._max_model_len > self._num_blocks * self._block_size:
            raise ConfigError(
                f"a context of {self._max_model_len} tokens does not fit: the KV cache of {profile.name} "
                f"holds {self._num_blocks * self._block_size}"
            )
        shape, memory = profile.shape, profile.memory
        kv_cache_bytes = min(memory.kv_cache_bytes, self._num_blocks * self._block_size * memory.kv_bytes_per_token)
        return ExecutorInfo(
            model=f"simulated {shape.model}",
            device=f"simulated {shape.device}",
            dtype="none",
            layout=f"tp={shape.tensor_parallel} pp={shape.pipeline_parallel}",
            attention_backend="simulated",
            num_blocks=self._num_blocks,
            block_size=self._block_size,
            kv_cache_bytes=kv_cache_bytes * shape.num_devices,
            weight_bytes=memory.weight_bytes * shape.num_devices,
            vocab_size=VOCAB_SIZE,
            max_model_len=self._max_model_len,
            eos_token_ids=frozenset(),
            isolated_decode_s=isolated_decode_s(self._cost_model),
            num_threads=1,
            notes=(f"simulated from the cost profile {profile.name}: no model runs and the text means nothing",),
        )

    def submit(self, batch: ScheduledBatch) -> None:
        assert len(self._submitted) < self.max_batches_in_flight
        features = IterationFeatures.of(batch)
        stage_s = self._cost_model.stage_seconds(features)
        if self._pace is not None:
            factor = self._pace.factor(features)
            stage_s = tuple([seconds * factor for seconds in stage_s])
        stages = self._pipeline.run(self._clock.now_s(), stage_s)
        self._submitted.append(_Submitted(stages, self._draw(batch)))

    def collect(self) -> ExecutorOutput:
        oldest = self._submitted.popleft()
        self._clock.wait_until(oldest.finished_s)
        return ExecutorOutput(oldest.drawn, oldest.stages)

    def has_room_at(self, time_s: float) -> bool:
        """Whether one more batch could be submitted at `time_s`, before the oldest one is done."""
        is_full = len(self._submitted) == self.max_batches_in_flight
        return bool(self._submitted) and not is_full and time_s < self._submitted[0].finished_s

    def probe(self) -> None:
        """Nothing: there is nobody else."""

    def close(self) -> None:
        self._submitted.clear()

    def _draw_chained(self, rows: Sequence[ScheduledSequence]) -> tuple[int, ...]:
        token_ids = []
        for row in rows:
            newest = row.token_ids[-1]
            known = self._newest[row.request_id] if newest == AWAITED_TOKEN else newest
            token_ids.append(_next_token(known, row.context_len))
        self._newest = dict(zip([row.request_id for row in rows], token_ids, strict=True))
        return tuple(token_ids)

    def _draw(self, batch: ScheduledBatch) -> Drawn:
        """Return a token for each row that samples; to who asks, all tokens are equally likely."""
        rows = [row for row in batch.sequences if row.sampling is not None]
        token_ids = self._draw_chained(rows) if self._chains else (TOKEN_ID,) * len(rows)
        wanted = [row.sampling.params.logprobs for row in rows if row.sampling is not None]
        has_asked = any(num_top is not None for num_top in wanted)
        return Drawn(
            token_ids,
            tuple([None if num_top is None else _equally_likely(num_top) for num_top in wanted]) if has_asked else (),
            tuple(_score_prompts(batch)),
        )


def _next_token(token_id: int, position: int) -> int:
    return TOKEN_ID + (31 * token_id + position) % _NUM_CHAINED


def _score_prompts(batch: ScheduledBatch) -> Iterator[PromptLogprobs]:
    for chunk in batch.chunks:
        if (targets := chunk.prompt_targets) is not None:
            tokens = (_equally_likely(targets.num_top),) * len(targets.token_ids)
            yield PromptLogprobs(chunk.request_id, chunk.first_position + 1, tokens)


def _equally_likely(num_top: int) -> TokenLogprobs:
    logprob = -math.log(VOCAB_SIZE)
    return TokenLogprobs(logprob, tuple(range(TOKEN_ID, TOKEN_ID + num_top)), (logprob,) * num_top)


def isolated_decode_s(cost_model: IterationCostModel) -> float:
    """Return the seconds of a decode-only iteration of 32 sequences with 4,096 tokens of context each."""
    return cost_model.predict(IterationFeatures(_ISOLATED_NUM_SEQS, _ISOLATED_NUM_SEQS * _ISOLATED_CONTEXT_LEN))
