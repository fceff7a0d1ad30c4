"""Runs one scheduled batch through a model, or a rank's share of it: tensors in, sampled tokens out."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import torch
from sarathi_kernels.sampling import DrawKernels
from torch import Tensor

from sarathid.executor.awaited_tokens import AwaitedTokens
from sarathid.executor.decode_graphs import Capture, DecodeGraphs, DecodeSize
from sarathid.executor.grammar_masks import GrammarMasks
from sarathid.executor.input_batch import InputBatch
from sarathid.executor.kv_storage import KVStorage
from sarathid.executor.launched_draw import LaunchedDraw
from sarathid.executor.logprobs import launch_draw, score_prompts
from sarathid.executor.model_pass import ModelPass
from sarathid.executor.part_draw import draw_of_parts
from sarathid.scheduler.batch import Drawn, ScheduledBatch


class ModelRunner:
    """A share of a model with its KV cache and its kernels; decodes alone run as they were captured, if they were."""

    def __init__(self, forward: ModelPass, draw_kernels: DrawKernels, grammars: GrammarMasks | None = None) -> None:
        self._pass = forward
        self._model = forward.model
        self._draw_kernels = draw_kernels
        self._grammars = grammars
        self._graphs: DecodeGraphs | None = None
        self._awaited = AwaitedTokens()

    @property
    def storage(self) -> KVStorage:
        return self._pass.storage

    @torch.inference_mode()
    def capture_decodes(
        self, sizes: Sequence[DecodeSize], capture: Capture, on_captured: Callable[[int], None] = lambda _: None
    ) -> None:
        """Capture the passes of decode-only batches of these sizes, before the KV cache holds anything.

        `on_captured` hears 1 after each. Raises `GraphsUnavailable` where that can't be.
        """
        self._pass.storage.clear()
        self._graphs = DecodeGraphs(self._pass, sizes, capture, on_captured)

    @torch.inference_mode()
    def logits(self, batch: ScheduledBatch, *, eagerly: bool = False) -> Tensor:
        """Return the logits [num_tokens, vocab_size] float32 of every token that runs through a whole model."""
        logits = self._model.logits(self.forward(self.inputs(batch, eagerly=eagerly), None))
        assert logits is not None, "who has the whole head has the logits"
        return logits

    def run(self, batch: ScheduledBatch) -> Drawn:
        """Run a batch through a whole model; returns what `draw` does."""
        return self.launch(batch).read()

    @torch.inference_mode()
    def launch(self, batch: ScheduledBatch) -> LaunchedDraw:
        """Have a whole model run a batch behind those launched before, and return what waits for it.

        Where it has an AWAITED_TOKEN it begins with what the batch before draws.
        """
        inputs = self.inputs(batch)
        self._awaited.fill_in(inputs)
        launched = self._launch_draw(inputs, self.forward(inputs, None))
        self._awaited.note(inputs, launched.tokens)
        return launched

    @torch.inference_mode()
    def inputs(self, batch: ScheduledBatch, *, eagerly: bool = False) -> InputBatch:
        """Return the tensors of a batch on the device, padded where a captured pass is for it, if not `eagerly`."""
        graphs = None if eagerly else self._graphs
        return self._pass.inputs(batch, None if graphs is None else graphs.padding_for(batch))

    @torch.inference_mode()
    def forward(self, inputs: InputBatch, received: Tensor | None) -> Tensor:
        """Return the residual stream [num_tokens, hidden_size] behind the share's last layer.

        `received` is the one in front of its first layer, from the stage before; None in the first stage.
        """
        if self._graphs is not None and inputs.packed is not None:
            return self._graphs.replay(inputs, inputs.packed, received)
        return self._pass(inputs, received)

    @torch.inference_mode()
    def draw(self, inputs: InputBatch, hidden: Tensor) -> Drawn:
        """Draw a token for each row that samples, and say how likely tokens were where that is asked.

        `hidden` is the residual stream behind the model's last layer. Of the ranks that have parts of the head the
        first draws; what the others return means nothing.
        """
        if self._model.share.num_parts == 1:
            return self._launch_draw(inputs, hidden).read()
        prompts = score_prompts(inputs.sequences, hidden, self._model.logits)
        drawn = Drawn()
        if inputs.sampling:
            logits = self._model.part_logits(hidden[inputs.sample_rows])
            drawn = draw_of_parts(self._model, logits, inputs.sampling, self._draw_kernels, self._grammars)
        return msgspec.structs.replace(drawn, prompt_logprobs=tuple(prompt.read() for prompt in prompts))

    def _launch_draw(self, inputs: InputBatch, hidden: Tensor) -> LaunchedDraw:
        """Do so on a rank that has the whole head, and return what waits for it."""
        prompts = score_prompts(inputs.sequences, hidden, self._model.logits)
        if not inputs.sampling:
            return LaunchedDraw(prompts=prompts)
        logits = self._model.part_logits(hidden[inputs.sample_rows])
        return replace(launch_draw(logits, inputs.sampling, self._draw_kernels, self._grammars), prompts=prompts)
