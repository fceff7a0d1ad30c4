"""Runs all shares of a model in one process, a thread for each part, as ranks would in theirs."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import TypeVar

import torch
from sarathi_kernels.layers import LayerKernels, TorchLayers
from sarathi_kernels.quantized import Quantization
from sarathi_kernels.reference import ReferenceAttention
from torch import Tensor

from sarathid.executor.input_batch import InputBatch, build_input_batch
from sarathid.executor.kv_storage import KVStorage
from sarathid.executor.layout import Layout
from sarathid.executor.placement import checkpoint_names
from sarathid.models.decoder import Decoder
from sarathid.models.layers.context import LayerContext
from sarathid.models.layers.tensor_group import TensorGroup
from sarathid.models.model_files import resolve
from sarathid.models.registry import build_model
from sarathid.models.weights import load_weights, open_weights
from sarathid.scheduler.batch import ScheduledBatch, ScheduledSequence

CPU = torch.device("cpu")
BLOCK_SIZE = 16
TORCH_LAYERS = TorchLayers()

T = TypeVar("T")


class ThreadGroup(TensorGroup):
    """Parts in threads of one process, which meet at a barrier."""

    def __init__(self, part: int, meeting: Barrier, table: list[Tensor]) -> None:
        self._part = part
        self._meeting = meeting
        self._table = table

    @property
    def num_parts(self) -> int:
        return len(self._table)

    def sum(self, part: Tensor) -> Tensor:
        return torch.stack(self._exchange(part)).sum(0, dtype=part.dtype)

    def largest(self, part: Tensor) -> Tensor:
        return torch.stack(self._exchange(part)).amax(0)

    def gather(self, part: Tensor, num_columns: int) -> Tensor | None:
        whole = torch.cat(self._exchange(part), dim=1)
        return whole if self._part == 0 else None

    def _exchange(self, part: Tensor) -> list[Tensor]:
        self._table[self._part] = part
        self._meeting.wait()
        parts = list(self._table)
        self._meeting.wait()
        return parts


def thread_groups(num_parts: int) -> list[ThreadGroup]:
    """Return what the threads of so many parts meet by, one each."""
    meeting, table = Barrier(num_parts), [torch.empty(0)] * num_parts
    return [ThreadGroup(part, meeting, table) for part in range(num_parts)]


class ShardedModel:
    """A model's shares on CPU, with blocks for one sequence."""

    def __init__(
        self,
        path: Path,
        layout: Layout,
        quantization: Quantization | None = None,
        kernels: LayerKernels = TORCH_LAYERS,
    ) -> None:
        files = resolve(str(path))
        self._layout = layout
        self._pool = ThreadPoolExecutor(layout.num_parts)
        self._blocks = tuple(reversed(range(-(-files.config.max_position_embeddings // BLOCK_SIZE))))
        self._window = files.config.sliding_window
        groups = [thread_groups(layout.num_parts) for _ in range(layout.num_stages)]
        self.models: list[Decoder] = []
        for rank in range(layout.num_ranks):
            stage, share = layout.stage_of(rank), layout.share(files.config, rank)
            context = LayerContext(CPU, torch.float32, kernels, quantization, groups[stage][share.part])
            model = build_model(share, files.config.max_position_embeddings, context)
            load_weights(model.checkpoint_tensors(), open_weights(files), 1, elsewhere=checkpoint_names(files.config))
            self.models.append(model)
        self._caches = [
            KVStorage(model.share, len(self._blocks), BLOCK_SIZE, CPU, torch.float32).layers for model in self.models
        ]

    def run(self, token_ids: Sequence[int], chunk_len: int) -> Tensor:
        """Return the logits [num_tokens, vocab_size] of a sequence that runs in chunks."""
        logits = [
            self._run_chunk(token_ids[first : first + chunk_len], first)
            for first in range(0, len(token_ids), chunk_len)
        ]
        return torch.cat(logits)

    def close(self) -> None:
        self._pool.shutdown()

    def _run_chunk(self, token_ids: Sequence[int], first_position: int) -> Tensor:
        chunk = ScheduledSequence(
            request_id=0,
            token_ids=tuple(token_ids),
            first_position=first_position,
            block_ids=self._blocks,
            sampling=None,
        )
        inputs = build_input_batch(ScheduledBatch(chunks=(chunk,)), BLOCK_SIZE, self._window, CPU)
        hidden = self._on_stage(0, lambda rank: self.models[rank].embed(inputs.token_ids))[0]
        for stage in range(self._layout.num_stages):
            hidden = self._on_stage(stage, partial(self._forward, inputs, hidden))[0]
        first, *others = self._on_stage(self._layout.num_stages - 1, lambda rank: self.models[rank].logits(hidden))
        assert first is not None and not any(logits is not None for logits in others)
        return first

    def _forward(self, inputs: InputBatch, hidden: Tensor, rank: int) -> Tensor:
        model, caches = self.models[rank], self._caches[rank]
        return model.forward(hidden.clone(), inputs.positions, caches, inputs.metadata, ReferenceAttention())

    def _on_stage(self, stage: int, run: Callable[[int], T]) -> list[T]:
        return list(self._pool.map(torch.inference_mode()(run), self._layout.ranks_of_stage(stage)))
