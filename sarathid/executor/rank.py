"""One rank: decides where its share of a model runs and by which kernels, and loads it."""

from functools import cached_property
from pathlib import Path

import torch
from sarathi_kernels.quantized import Quantization
from sarathi_kernels.select import (
    KernelNeeds,
    Kernels,
    KernelUnavailable,
    can_multiply_int8,
    can_read_halves,
    select_kernels,
)

from sarathid.config import EngineConfig
from sarathid.errors import ConfigError, ModelRefused
from sarathid.executor.decode_graphs import Capture
from sarathid.executor.grammar_masks import GrammarMasks
from sarathid.executor.graph_plan import GraphPlan, capture_decodes, plan_graphs
from sarathid.executor.kept_memory import mark_of
from sarathid.executor.kv_storage import KVStorage
from sarathid.executor.layout import Layout
from sarathid.executor.memory import KVPlan, free_bytes, kv_budget_bytes, plan_kv_cache
from sarathid.executor.model_pass import ModelPass
from sarathid.executor.model_runner import ModelRunner
from sarathid.executor.placement import Placement, device_type, place
from sarathid.executor.running_ahead import is_beside, runs_ahead
from sarathid.executor.share_loader import LoadedShare, ShareLoader
from sarathid.models.decoder import Decoder
from sarathid.models.layers.context import LayerContext, WeightMemory
from sarathid.models.layers.tensor_group import ALONE, TensorGroup
from sarathid.models.model_files import DirectoryFiles, GGUFFiles, resolve
from sarathid.models.registry import build_model
from sarathid.paths import cache_dir, make_private
from sarathid.protocol.stats import WeightsOrigin
from sarathid.version import __version__

# FlashAttention 2 behind torch's paged attention takes multiples of 256 only.
_DEFAULT_BLOCK_SIZES = {"cpu": 16, "cuda": 256}
_KV_DTYPES = {"float32": torch.float32, "float16": torch.float16}
LEAST_KEPT_BYTES = 16 << 20  # of converted weights: fewer are converted in no time


class Rank:
    """Rank `index` of a layout, and all that it decides before it reads a weight.

    Decodes are captured by `capture`, by default as CUDA graphs on a GPU and not at all elsewhere. Raises
    `ConfigError` or `ModelRefused`, with the numbers, for what can't be.
    """

    def __init__(
        self,
        config: EngineConfig,
        files: DirectoryFiles | GGUFFiles,
        layout: Layout | None = None,
        index: int = 0,
        capture: Capture | None = None,
    ) -> None:
        self._config = config
        self._files = files
        self._layout = layout or Layout()
        self.quantization = _choose_quantization(config)
        self.share = self._layout.share(files.config, index)
        self.placement = self._place(index)
        self.kv_dtype = _choose_kv_dtype(config, self.quantization, self.placement)
        if self.placement.device.type == "cuda":
            torch.cuda.set_device(self.placement.device)  # where kernels run, wherever their tensors are
        self.block_size = config.block_size or _DEFAULT_BLOCK_SIZES[self.placement.device.type]
        self.weights_origin = WeightsOrigin.READ
        self.weights_fault = ""
        self._capture = capture
        self._graphs_note: str | None = None

    @cached_property
    def kernels(self) -> Kernels:
        """The kernels that serve here; raises `ConfigError` for one that was named and does not."""
        needs = KernelNeeds(
            device=self.placement.device,
            dtype=self.placement.dtype,
            kv_dtype=self.kv_dtype,
            head_dim=self.share.config.head_dim,
            block_size=self.block_size,
            directory=_kernel_dir(),
        )
        try:
            return select_kernels(self._config.attention_backend, needs)
        except KernelUnavailable as error:
            raise ConfigError(str(error)) from error

    @cached_property
    def runs_ahead(self) -> bool:
        """Whether batches are put together while one runs; raises `ConfigError` where that was asked for in vain."""
        beside = is_beside(self.placement.device, self.kernels)
        return runs_ahead(self._config.async_scheduling, self._layout.num_ranks, is_beside=beside)

    @cached_property
    def num_affordable_blocks(self) -> int:
        """Blocks that this rank has memory for, beside its weights and the other ranks of a CPU."""
        num_free_bytes = free_bytes(self.placement.device)
        if self.placement.device.type == "cpu":
            num_free_bytes //= self._layout.num_local_ranks
        block_bytes = self._block_bytes
        asked_bytes = self._config.kv_memory_bytes
        if asked_bytes is not None:
            asked_bytes = asked_bytes // (self.block_size * self._all_ranks_bytes_per_token) * block_bytes
        scratch_bytes = block_bytes if self.graph_plan.sizes else 0
        num_left_bytes = num_free_bytes - self.placement.num_weight_bytes - self.graph_plan.num_bytes - scratch_bytes
        return kv_budget_bytes(asked_bytes, num_left_bytes, self.placement.device) // block_bytes

    def plan_kv_cache(self, num_affordable_blocks: int) -> KVPlan:
        """Return the size of the KV cache where every rank has memory for so many blocks."""
        return plan_kv_cache(
            num_affordable_blocks,
            self.block_size,
            self._all_ranks_bytes_per_token,
            self._config.max_num_seqs,
            self.share.config.max_position_embeddings,
            self._config.max_model_len,
        )

    @property
    def mark(self) -> bytes:
        """What a KV cache is marked with that goes with this share, as it is computed here, and with no other."""
        weights = sorted(self._files.path.iterdir()) if self._files.path.is_dir() else [self._files.path]
        found = [(path.name, stat.st_size, stat.st_mtime_ns) for path in weights for stat in (path.stat(),)]
        formats = (self._config.load_format, self.quantization, self.placement.dtype, self.kv_dtype)
        facts = (*formats, self.kernels.attention.name)
        sizes = (self.block_size, self._config.kv_memory_bytes, self._config.max_model_len, self._config.max_num_seqs)
        return mark_of(__version__, self.share.config, found, *facts, *sizes)

    def num_cache_bytes(self, plan: KVPlan) -> int:
        """Return what the share's KV cache takes."""
        return plan.num_blocks * self._block_bytes

    def load(
        self, plan: KVPlan, num_threads: int, group: TensorGroup = ALONE, room: memoryview | None = None
    ) -> ModelRunner:
        """Return the share with its weights, and a KV cache of that size, in `room` where there is one."""
        placement, kernels = self.placement, self.kernels

        def build(memory: WeightMemory) -> Decoder:
            layers = kernels.layers
            context = LayerContext(placement.device, placement.dtype, layers, self.quantization, group, memory)
            return build_model(self.share, plan.max_model_len, context)

        loaded = self._load(ShareLoader(self._files, self.share, placement.device, build, num_threads))
        self.weights_origin, self.weights_fault = loaded.origin, loaded.fault
        storage = KVStorage(
            self.share,
            plan.num_blocks,
            self.block_size,
            placement.device,
            self.kv_dtype,
            room,
            has_scratch_block=bool(self.graph_plan.sizes),
        )
        forward = ModelPass(loaded.model, storage, kernels.attention, placement.device, placement.dtype)
        runner = ModelRunner(forward, kernels.draw, self._grammars())
        self._graphs_note = capture_decodes(
            self._config, self.graph_plan, runner, placement.device, plan.max_model_len, self._capture
        )
        return runner

    @cached_property
    def graph_plan(self) -> GraphPlan:
        """What of decodes is captured; raises `ConfigError` where it was asked for and can't be."""
        return plan_graphs(
            self._config,
            self.share,
            self.placement,
            self.kernels.attention,
            is_quantized=self.quantization is not None,
            is_captured_here=self._capture is not None,
        )

    def _load(self, loader: ShareLoader) -> LoadedShare:
        """Load the share, by way of the cache directory where converting it takes longer than reading it."""
        num_bytes = self.placement.num_weight_bytes
        if self._config.load_format == "dummy":
            return loader.dummy()
        is_converted = self.quantization is not None or isinstance(self._files, GGUFFiles)
        if self.placement.device.type == "cuda" or not is_converted or num_bytes < LEAST_KEPT_BYTES:
            return loader.read(num_bytes)
        kernels = type(self.kernels.layers).__name__
        return loader.convert_once(num_bytes, dtype_name(self.placement.dtype), self.quantization or "floats", kernels)

    def _grammars(self) -> GrammarMasks | None:
        """Return what keeps answers to their grammars, on the rank that draws their tokens, where words are known."""
        if not (self.share.has_head and self.share.is_first_part):
            return None
        config = self.share.config
        try:
            return GrammarMasks(self._files.tokenizer, config.vocab_size, config.eos_token_ids)
        except (ModelRefused, ValueError):  # there is no tokenizer, or one of a kind that llguidance does not know
            return None

    def notes(self, plan: KVPlan) -> tuple[str, ...]:
        """Return what an operator should know of what was decided."""
        found = [self.placement.note, plan.note, *self.kernels.notes, self._graphs_note]
        if self.runs_ahead:
            found.append("each batch is put together while the one before it runs")
        if self._config.load_format == "dummy":
            found.append("the weights are random numbers")
        if self.quantization is not None:
            found.append(f"the weights of attention and feed-forward are {self.quantization}")
        if self.kv_dtype != self.placement.dtype:
            found.append(f"keys and values are kept in {dtype_name(self.kv_dtype)}")
        return tuple(note for note in found if note is not None)

    @property
    def _block_bytes(self) -> int:
        return self.block_size * self.share.kv_bytes_per_token(self.kv_dtype.itemsize)

    @property
    def _all_ranks_bytes_per_token(self) -> int:
        return self._layout.kv_bytes_per_token(self.share.config, self.kv_dtype.itemsize)

    def _place(self, index: int) -> Placement:
        num_local_ranks = self._layout.num_local_ranks
        local_index = None if num_local_ranks == 1 else index % num_local_ranks
        return place(self._config.device, self._config.dtype, self.quantization, self.share, local_index)


def _choose_quantization(config: EngineConfig) -> Quantization | None:
    """Return what weights are kept in; `auto` is int8 on a CPU that multiplies it in integers, if no format is named.

    Sums of integers are exact there: what a request is answered never depends on its batch mates, bit by bit.
    """
    if config.quantize != "auto":
        return None if config.quantize == "off" else Quantization(config.quantize)
    is_for_cpu = config.dtype == "auto" and device_type(config.device) == "cpu"
    return Quantization.INT8 if is_for_cpu and can_multiply_int8(_kernel_dir()) else None


def _choose_kv_dtype(config: EngineConfig, quantization: Quantization | None, placement: Placement) -> torch.dtype:
    """Return what keys and values are kept in.

    Where weights are rounded anyway, `auto` halves what decodes read, unless a slower kernel would have to turn it into
    floats first. Raises `ConfigError` for a format that the device has no kernel for.
    """
    if placement.device.type != "cpu":
        if config.kv_dtype not in ("auto", dtype_name(placement.dtype)):
            raise ConfigError(
                f"on {placement.device} keys and values are what is computed in; leave --kv-dtype at auto"
            )
        return placement.dtype
    if config.kv_dtype != "auto":
        return _KV_DTYPES[config.kv_dtype]
    is_rounded = quantization is not None and placement.dtype == torch.float32
    is_read_in_place = config.attention_backend in ("auto", "cpu") and is_rounded and can_read_halves(_kernel_dir())
    return torch.float16 if is_read_in_place else placement.dtype


def _kernel_dir() -> Path:
    return make_private(make_private(cache_dir()) / "kernels")


def dtype_name(dtype: torch.dtype) -> str:
    """Return a number format as it is configured."""
    return str(dtype).removeprefix("torch.")


def check_ranks(config: EngineConfig) -> None:
    """Decide all that the ranks of this node decide, without reading weights; raises what they would raise."""
    files, layout = resolve(config.model), Layout.of(config)
    ranks = [Rank(config, files, layout, index) for index in layout.ranks_of_node(0)]
    plan = ranks[0].plan_kv_cache(min(rank.num_affordable_blocks for rank in ranks))
    for rank in ranks:
        rank.notes(plan)
