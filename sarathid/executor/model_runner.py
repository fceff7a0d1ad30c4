"""Runs one scheduled batch through a model, or a rank's share of it: tensors in, sampled tokens out."""

import msgspec
import torch
from sarathi_kernels.select import Kernels
from torch import Tensor

from sarathid.executor.grammar_masks import GrammarMasks
from sarathid.executor.input_batch import InputBatch, build_input_batch
from sarathid.executor.kv_storage import KVStorage
from sarathid.executor.logprobs import draw, score_prompts
from sarathid.executor.part_draw import draw_of_parts
from sarathid.models.decoder import Decoder
from sarathid.scheduler.batch import Drawn, ScheduledBatch


class ModelRunner:
    """A share of a model with its KV cache and its kernels."""

    def __init__(
        self,
        model: Decoder,
        storage: KVStorage,
        kernels: Kernels,
        device: torch.device,
        grammars: GrammarMasks | None = None,
    ) -> None:
        self._model = model
        self._storage = storage
        self._kernels = kernels
        self._device = device
        self._grammars = grammars

    @property
    def num_cache_bytes(self) -> int:
        return self._storage.num_bytes

    @torch.inference_mode()
    def logits(self, batch: ScheduledBatch) -> Tensor:
        """Return the logits [num_tokens, vocab_size] float32 of every token that runs through a whole model."""
        logits = self._model.logits(self.forward(self.inputs(batch), None))
        assert logits is not None, "who has the whole head has the logits"
        return logits

    def run(self, batch: ScheduledBatch) -> Drawn:
        """Run a batch through a whole model; returns what `draw` does."""
        inputs = self.inputs(batch)
        return self.draw(inputs, self.forward(inputs, None))

    def inputs(self, batch: ScheduledBatch) -> InputBatch:
        """Return the tensors of a batch on the device."""
        return build_input_batch(batch, self._storage.block_size, self._model.share.config.sliding_window, self._device)

    @torch.inference_mode()
    def forward(self, inputs: InputBatch, received: Tensor | None) -> Tensor:
        """Return the residual stream [num_tokens, hidden_size] behind the share's last layer.

        `received` is the one in front of its first layer, from the stage before; None in the first stage.
        """
        hidden = self._model.embed(inputs.token_ids) if received is None else received
        return self._model.forward(
            hidden, inputs.positions, self._storage.layers, inputs.metadata, self._kernels.attention
        )

    @torch.inference_mode()
    def draw(self, inputs: InputBatch, hidden: Tensor) -> Drawn:
        """Return a token for each row that samples, and how likely tokens were where that is asked.

        `hidden` is the residual stream behind the model's last layer. Of the ranks that have parts of the head the
        first draws; what the others return means nothing.
        """
        prompt_logprobs = score_prompts(inputs.sequences, hidden, self._model.logits)
        drawn = self._draw(self._model.part_logits(hidden[inputs.sample_rows]), inputs) if inputs.sampling else Drawn()
        return msgspec.structs.replace(drawn, prompt_logprobs=prompt_logprobs) if prompt_logprobs else drawn

    def _draw(self, logits: Tensor, inputs: InputBatch) -> Drawn:
        """Return a token for each row of logits [num_rows, words of this rank]."""
        if self._model.share.num_parts == 1:
            return draw(logits, inputs.sampling, self._kernels.draw, self._grammars)
        return draw_of_parts(self._model, logits, inputs.sampling, self._kernels.draw, self._grammars)
