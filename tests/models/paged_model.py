"""Drives a model the way the engine does, and gives the logits of every token that ran."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from sarathi_kernels.quantized import Quantization
from sarathi_kernels.select import KernelNeeds, select_kernels
from torch import Tensor

from sarathid.executor.input_batch import build_input_batch
from sarathid.executor.kv_storage import KVStorage
from sarathid.models.layers.context import LayerContext
from sarathid.models.model_files import resolve
from sarathid.models.registry import build_model
from sarathid.models.share import ModelShare
from sarathid.models.weights import load_weights, open_weights
from sarathid.scheduler.batch import ScheduledBatch, ScheduledSequence

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Share:
    """Tokens of one sequence that run in one iteration, the first at `first_position`, the last `num_output` output."""

    sequence: int
    token_ids: tuple[int, ...]
    first_position: int
    num_output: int = 0


class PagedModel:
    """A model on CPU with blocks for `num_sequences` sequences, each sequence's in an order of its own."""

    def __init__(
        self,
        path: Path,
        kernel_directory: Path,
        *,
        num_sequences: int = 3,
        max_len: int = 256,
        block_size: int = 16,
        attention: str = "auto",
        quantization: Quantization | None = None,
        kv_dtype: torch.dtype = torch.float32,
    ) -> None:
        files = resolve(str(path))
        config = files.config
        needs = KernelNeeds(
            device=CPU,
            dtype=torch.float32,
            kv_dtype=kv_dtype,
            head_dim=config.head_dim,
            block_size=block_size,
            directory=kernel_directory,
        )
        kernels = select_kernels(attention, needs)
        share = ModelShare.whole(config)
        self.model = build_model(share, max_len, LayerContext(CPU, torch.float32, kernels.layers, quantization))
        load_weights(self.model.checkpoint_tensors(), open_weights(files), 2)
        blocks_each = -(-max_len // block_size)
        self._storage = KVStorage(share, num_sequences * blocks_each, block_size, CPU, kv_dtype)
        for layer in self._storage.layers:
            layer.k.fill_(torch.nan)
            layer.v.fill_(torch.nan)
        order = torch.randperm(num_sequences * blocks_each, generator=torch.Generator().manual_seed(0))
        self._blocks = [tuple(ids) for ids in order.view(num_sequences, blocks_each).tolist()]
        self._attention = kernels.attention

    @torch.inference_mode()
    def run(self, shares: Sequence[Share]) -> list[Tensor]:
        """Return, for each share, the logits [num_tokens, vocab_size] of its tokens."""
        scheduled = tuple(
            ScheduledSequence(
                request_id=share.sequence,
                token_ids=share.token_ids,
                first_position=share.first_position,
                block_ids=self._blocks[share.sequence],
                sampling=None,
                num_output_tokens=share.num_output,
            )
            for share in shares
        )
        inputs = build_input_batch(
            ScheduledBatch(chunks=scheduled), self._storage.block_size, self.model.share.config.sliding_window, CPU
        )
        hidden = self.model.forward(
            self.model.embed(inputs.token_ids), inputs.positions, self._storage.layers, inputs.metadata, self._attention
        )
        logits = self.model.logits(hidden)
        assert logits is not None
        return list(torch.split(logits, [len(share.token_ids) for share in shares]))

    def run_chunked(self, sequences: Sequence[Sequence[int]], chunk_len: int) -> list[Tensor]:
        """Return each sequence's logits; sequence i starts i iterations late, so that batches are mixed."""
        found: list[list[Tensor]] = [[] for _ in sequences]
        starts = [-index * chunk_len for index in range(len(sequences))]
        while any(start < len(tokens) for start, tokens in zip(starts, sequences, strict=True)):
            shares = [
                Share(index, tuple(tokens[start : start + chunk_len]), start)
                for index, (start, tokens) in enumerate(zip(starts, sequences, strict=True))
                if 0 <= start < len(tokens)
            ]
            for share, logits in zip(shares, self.run(shares), strict=True):
                found[share.sequence].append(logits)
            starts = [start + chunk_len for start in starts]
        return [torch.cat(parts) for parts in found]

    def run_greedy(self, prompts: Sequence[Sequence[int]], chunk_len: int, num_tokens: int) -> list[list[int]]:
        """Return each prompt's best `num_tokens` next tokens, drawn side by side behind chunks of the prompts."""
        sequences = [list(prompt) for prompt in prompts]
        last = [logits[-1] for logits in self.run_chunked(prompts, chunk_len)]
        for _ in range(num_tokens):
            for tokens, logits in zip(sequences, last, strict=True):
                tokens.append(int(logits.argmax()))
            shares = [Share(index, (tokens[-1],), len(tokens) - 1, 1) for index, tokens in enumerate(sequences)]
            last = [logits[-1] for logits in self.run(shares)]
        return [tokens[len(prompt) :] for tokens, prompt in zip(sequences, prompts, strict=True)]
