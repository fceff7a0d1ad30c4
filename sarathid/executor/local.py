"""The executor of one process and one device."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from sarathid.clock import MonotonicClock
from sarathid.config import EngineConfig
from sarathid.costmodel.pipeline import StageWork
from sarathid.executor.base import ExecutorInfo, ExecutorOutput
from sarathid.executor.cpu_threads import thread_note, usable_cores
from sarathid.executor.decode_graphs import Capture
from sarathid.executor.kept_memory import KeptCache, KeptMemory
from sarathid.executor.layout import Layout
from sarathid.executor.memory import KVPlan
from sarathid.executor.model_runner import ModelRunner
from sarathid.executor.rank import Rank, dtype_name
from sarathid.executor.warm_up import isolated_decode_s, shape_for
from sarathid.models.model_files import resolve
from sarathid.scheduler.batch import Drawn, ScheduledBatch


@dataclass(frozen=True, slots=True)
class _Submitted:
    """A batch that was launched at `launched_s`, or runs when `finish` is called for its tokens."""

    launched_s: float | None
    finish: Callable[[], Drawn]


class LocalExecutor:
    """Runs the model in this process: one stage.

    A batch runs when it is collected or, where the executor `runs_ahead`, is launched when it is submitted: a GPU then
    goes over from one to the next without the host.

    On CPU the KV cache lies in `kept`, if that is given, with what an engine before has left there. Decodes are
    captured by `capture`, by default as CUDA graphs on a GPU and not at all elsewhere.
    """

    def __init__(self, config: EngineConfig, kept: KeptMemory | None = None, capture: Capture | None = None) -> None:
        self._config = config
        self._capture = capture
        self._kept = kept
        self._clock = MonotonicClock()
        self._submitted: deque[_Submitted] = deque()
        self._free_s = 0.0
        self._runner: ModelRunner | None = None
        self.runs_ahead = False  # before it has started

    @property
    def max_batches_in_flight(self) -> int:
        return 2 if self.runs_ahead else 1

    @property
    def runner(self) -> ModelRunner:
        """What runs batches, once `start` has loaded it."""
        assert self._runner is not None, "start() comes first"
        return self._runner

    def start(self) -> ExecutorInfo:
        num_threads = self._config.num_threads or usable_cores()
        torch.set_num_threads(num_threads)
        files = resolve(self._config.model)
        rank = Rank(self._config, files, capture=self._capture)
        self.runs_ahead = rank.runs_ahead
        kept = self._kept if rank.placement.device.type == "cpu" else None
        left = None if kept is None else kept.find(rank.mark)
        plan = rank.plan_kv_cache(rank.num_affordable_blocks if left is None else left.num_blocks)
        room = None if kept is None else kept.open(plan.num_blocks, rank.num_cache_bytes(plan))
        self._runner = rank.load(plan, num_threads, room=room)
        notes = [*rank.notes(plan), thread_note(num_threads)]
        if left is not None:
            notes.append("the KV cache is as the engine before left it")
        isolated_s = self._isolated_decode_s(rank, plan) if left is None else left.isolated_decode_s
        if kept is not None and left is None:
            kept.sign(rank.mark, KeptCache(plan.num_blocks, isolated_s))
        return ExecutorInfo(
            model=files.name,
            device=str(rank.placement.device),
            dtype=dtype_name(rank.placement.dtype),
            quantization=rank.quantization,
            layout=str(Layout()),
            attention_backend=rank.kernels.attention.name,
            num_blocks=plan.num_blocks,
            block_size=rank.block_size,
            kv_cache_bytes=self._runner.storage.num_bytes,
            weight_bytes=rank.placement.num_weight_bytes,
            vocab_size=files.config.vocab_size,
            max_model_len=plan.max_model_len,
            eos_token_ids=files.config.eos_token_ids,
            isolated_decode_s=isolated_s,
            num_threads=num_threads,
            sliding_window=files.config.sliding_window,
            weights_origin=rank.weights_origin,
            weights_fault=rank.weights_fault,
            notes=tuple(notes),
        )

    def _isolated_decode_s(self, rank: Rank, plan: KVPlan) -> float:
        """Warm up and measure, which overwrites blocks."""
        shape = shape_for(
            rank.placement.device.type, self._config.max_num_seqs, plan.max_model_len, plan.num_blocks, rank.block_size
        )
        return isolated_decode_s(self.runner.run, shape, rank.block_size)

    def submit(self, batch: ScheduledBatch) -> None:
        assert len(self._submitted) < self.max_batches_in_flight
        if self.runs_ahead:
            launched_s = self._clock.now_s()
            self._submitted.append(_Submitted(launched_s, self.runner.launch(batch).read))
        else:
            self._submitted.append(_Submitted(None, partial(self.runner.run, batch)))

    def collect(self) -> ExecutorOutput:
        oldest = self._submitted.popleft()
        start_s = self._clock.now_s() if oldest.launched_s is None else max(oldest.launched_s, self._free_s)
        drawn = oldest.finish()
        self._free_s = self._clock.now_s()
        return ExecutorOutput(drawn, (StageWork(start_s, self._free_s - start_s),))

    def probe(self) -> None:
        """Nothing: who asks is who computes."""

    def close(self) -> None:
        self._submitted.clear()
        self._runner = None
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()  # what the model took is free again, for whoever comes next in this process
