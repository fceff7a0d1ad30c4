"""A batch's way through a share of a model: tokens, or a residual stream, in; the residual stream behind it out."""

import torch
from sarathi_kernels.backend import AttentionBackend
from torch import Tensor

from sarathid.executor.input_batch import InputBatch, Padding, build_input_batch, build_padded_batch
from sarathid.executor.kv_storage import KVStorage
from sarathid.models.decoder import Decoder
from sarathid.scheduler.batch import ScheduledBatch


class ModelPass:
    """A share of a model with its KV cache and its attention, operation by operation."""

    def __init__(
        self,
        model: Decoder,
        storage: KVStorage,
        attention: AttentionBackend,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.model = model
        self.storage = storage
        self._attention = attention
        self._device = device
        self._dtype = dtype

    def inputs(self, batch: ScheduledBatch, padding: Padding | None = None) -> InputBatch:
        """Return the tensors of a batch on the device, padded if that is asked."""
        block_size, window = self.storage.block_size, self.model.share.config.sliding_window
        if padding is None:
            return build_input_batch(batch, block_size, window, self._device)
        return build_padded_batch(batch, block_size, window, self._device, padding)

    def blank_stream(self, num_rows: int) -> Tensor | None:
        """Return zeros [num_rows, hidden_size] shaped as what the stage before hands over; None in the first stage."""
        share = self.model.share
        if share.has_embedding:
            return None
        return torch.zeros(num_rows, share.config.hidden_size, dtype=self._dtype, device=self._device)

    def __call__(self, inputs: InputBatch, received: Tensor | None) -> Tensor:
        """Return the residual stream [num_tokens, hidden_size] behind the share's last layer.

        `received` is the one in front of its first layer, from the stage before, and may be changed; None in the first
        stage.
        """
        hidden = self.model.embed(inputs.token_ids) if received is None else received
        return self.model.forward(hidden, inputs.positions, self.storage.layers, inputs.metadata, self._attention)
