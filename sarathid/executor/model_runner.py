"""Runs one scheduled batch through the model: tensors in, sampled tokens out."""

import torch
from sarathi_kernels.select import Kernels
from torch import Tensor

from sarathid.executor.input_batch import InputBatch, build_input_batch
from sarathid.executor.kv_storage import KVStorage
from sarathid.executor.sampler import sample
from sarathid.models.decoder import Decoder
from sarathid.scheduler.batch import ScheduledBatch


class ModelRunner:
    """A model with its KV cache and its kernels."""

    def __init__(self, model: Decoder, storage: KVStorage, kernels: Kernels, device: torch.device) -> None:
        self._model = model
        self._storage = storage
        self._kernels = kernels
        self._device = device

    @property
    def num_cache_bytes(self) -> int:
        return self._storage.num_bytes

    @torch.inference_mode()
    def logits(self, batch: ScheduledBatch) -> Tensor:
        """Return the logits [num_tokens, vocab_size] float32 of every token that runs, drawing none."""
        _, hidden = self._forward(batch)
        return self._model.logits(hidden)

    @torch.inference_mode()
    def run(self, batch: ScheduledBatch) -> tuple[int | None, ...]:
        """Return one token id for each row that samples, None where its logits are not numbers."""
        inputs, hidden = self._forward(batch)
        if not inputs.sampling:
            return ()
        logits = self._model.logits(hidden[inputs.sample_rows])
        return sample(logits, inputs.sampling, self._kernels.draw)

    def _forward(self, batch: ScheduledBatch) -> tuple[InputBatch, Tensor]:
        """Return the batch's tensors and the residual stream [num_tokens, hidden_size] that they give."""
        inputs = build_input_batch(batch, self._storage.block_size, self._model.config.sliding_window, self._device)
        hidden = self._model.forward(
            inputs.token_ids, inputs.positions, self._storage.layers, inputs.metadata, self._kernels.attention
        )
        return inputs, hidden
