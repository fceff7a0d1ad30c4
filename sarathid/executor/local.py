"""The executor of one process and one device."""

import os
from collections import deque

import torch
from sarathi_kernels.quantized import Quantization
from sarathi_kernels.select import KernelNeeds, Kernels, KernelUnavailable, select_kernels

from sarathid.clock import MonotonicClock
from sarathid.config import EngineConfig
from sarathid.costmodel.pipeline import StageWork
from sarathid.errors import ConfigError
from sarathid.executor.base import ExecutorInfo, ExecutorOutput
from sarathid.executor.cpu_threads import usable_cores
from sarathid.executor.kv_storage import KVStorage
from sarathid.executor.load_progress import LoadProgress
from sarathid.executor.memory import KVPlan, free_bytes, kv_budget_bytes, plan_kv_cache
from sarathid.executor.model_runner import ModelRunner
from sarathid.executor.placement import Placement, place
from sarathid.executor.warm_up import CPU_SHAPE, CUDA_SHAPE, isolated_decode_s, shape_that_fits
from sarathid.models.layers.context import LayerContext
from sarathid.models.model_config import ModelConfig
from sarathid.models.model_files import DirectoryFiles, GGUFFiles, resolve
from sarathid.models.registry import build_model
from sarathid.models.weights import fill_dummy, load_weights, open_weights
from sarathid.paths import cache_dir, make_private
from sarathid.scheduler.batch import ScheduledBatch

# FlashAttention 2 behind torch's paged attention takes multiples of 256 only.
_DEFAULT_BLOCK_SIZES = {"cpu": 16, "cuda": 256}


class LocalExecutor:
    """Runs the model in this process, each batch when it is collected: one stage."""

    max_batches_in_flight = 1

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._clock = MonotonicClock()
        self._quantization = None if config.quantize is None else Quantization(config.quantize)
        self._submitted: deque[ScheduledBatch] = deque()
        self._runner: ModelRunner | None = None

    @property
    def runner(self) -> ModelRunner:
        """What runs batches, once `start` has loaded it."""
        assert self._runner is not None, "start() comes first"
        return self._runner

    def check(self) -> None:
        """Decide all that `start` decides, without loading weights or taking memory; raises what it would raise."""
        self._decide(resolve(self._config.model).config)

    def start(self) -> ExecutorInfo:
        num_threads = self._config.num_threads or usable_cores()
        torch.set_num_threads(num_threads)
        files = resolve(self._config.model)
        placement, block_size, plan, kernels = self._decide(files.config)
        self._runner = self._load(files, placement, kernels, plan, block_size, num_threads)
        return ExecutorInfo(
            model=files.name,
            device=str(placement.device),
            dtype=str(placement.dtype).removeprefix("torch."),
            layout="tp=1 pp=1",
            attention_backend=kernels.attention.name,
            num_blocks=plan.num_blocks,
            block_size=block_size,
            kv_cache_bytes=self._runner.num_cache_bytes,
            weight_bytes=placement.num_weight_bytes,
            vocab_size=files.config.vocab_size,
            max_model_len=plan.max_model_len,
            eos_token_ids=files.config.eos_token_ids,
            isolated_decode_s=self._measure_isolated_decode_s(self._runner, placement, plan, block_size),
            num_threads=num_threads,
            sliding_window=files.config.sliding_window,
            notes=_present(
                placement.note, plan.note, *kernels.notes, *self._weights_notes(), _thread_note(num_threads)
            ),
        )

    def submit(self, batch: ScheduledBatch) -> None:
        assert len(self._submitted) < self.max_batches_in_flight
        self._submitted.append(batch)

    def collect(self) -> ExecutorOutput:
        start_s = self._clock.now_s()
        token_ids = self.runner.run(self._submitted.popleft())
        return ExecutorOutput(token_ids, (StageWork(start_s, self._clock.now_s() - start_s),))

    def close(self) -> None:
        self._submitted.clear()
        self._runner = None

    def _decide(self, model: ModelConfig) -> tuple[Placement, int, KVPlan, Kernels]:
        """Return where the model runs, in blocks of how many tokens, of how many blocks, and by which kernels."""
        placement = place(self._config.device, self._config.dtype, self._quantization, model)
        block_size = self._config.block_size or _DEFAULT_BLOCK_SIZES[placement.device.type]
        plan = self._plan_kv_cache(model, placement, block_size)
        return placement, block_size, plan, self._select_kernels(model, placement, block_size)

    def _select_kernels(self, model: ModelConfig, placement: Placement, block_size: int) -> Kernels:
        needs = KernelNeeds(
            device=placement.device,
            dtype=placement.dtype,
            head_dim=model.head_dim,
            block_size=block_size,
            directory=make_private(make_private(cache_dir()) / "kernels"),
        )
        try:
            return select_kernels(self._config.attention_backend, needs)
        except KernelUnavailable as error:
            raise ConfigError(str(error)) from error

    def _plan_kv_cache(self, model: ModelConfig, placement: Placement, block_size: int) -> KVPlan:
        config = self._config
        num_free_bytes = free_bytes(placement.device) - placement.num_weight_bytes
        return plan_kv_cache(
            kv_budget_bytes(config.kv_memory_bytes, num_free_bytes, placement.device),
            block_size,
            model.kv_bytes_per_token(placement.dtype.itemsize),
            config.max_num_seqs,
            model.max_position_embeddings,
            config.max_model_len,
        )

    def _weights_notes(self) -> tuple[str, ...]:
        notes = []
        if self._config.load_format == "dummy":
            notes.append("the weights are random numbers")
        if self._quantization is not None:
            notes.append(f"the weights of attention and feed-forward are {self._quantization}")
        return tuple(notes)

    def _load(
        self,
        files: DirectoryFiles | GGUFFiles,
        placement: Placement,
        kernels: Kernels,
        plan: KVPlan,
        block_size: int,
        num_threads: int,
    ) -> ModelRunner:
        context = LayerContext(placement.device, placement.dtype, kernels.layers, self._quantization)
        model = build_model(files.config, plan.max_model_len, context)
        if self._config.load_format == "dummy":
            fill_dummy(model.checkpoint_tensors())
        else:
            progress = LoadProgress(files.name, placement.num_weight_bytes)
            load_weights(model.checkpoint_tensors(), open_weights(files), num_threads, progress)
        storage = KVStorage(files.config, plan.num_blocks, block_size, placement.device, placement.dtype)
        return ModelRunner(model, storage, kernels, placement.device)

    def _measure_isolated_decode_s(
        self, runner: ModelRunner, placement: Placement, plan: KVPlan, block_size: int
    ) -> float:
        wanted = CUDA_SHAPE if placement.device.type == "cuda" else CPU_SHAPE
        shape = shape_that_fits(wanted, self._config.max_num_seqs, plan.max_model_len, plan.num_blocks, block_size)
        return isolated_decode_s(runner, shape, block_size)


def _present(*notes: str | None) -> tuple[str, ...]:
    return tuple(note for note in notes if note is not None)


def _thread_note(num_threads: int) -> str:
    waiting = os.environ.get("OMP_WAIT_POLICY", "active").lower()
    return f"{num_threads} threads of {usable_cores()} usable cores, {waiting} waiting"
