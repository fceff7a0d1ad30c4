"""Passes of decode-only batches, captured once for each size and replayed over whatever batch fits that size."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from sarathid.executor.input_batch import InputBatch, PackedInputs, Padding
from sarathid.executor.model_pass import ModelPass
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput, ScheduledBatch, ScheduledSequence

# Few sizes cost little: weights are read once for 33 rows as for 48, and a row of padding reads one position.
_NUM_ROWS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256)
# A captured grid is that of the longest context: shorter ones have a smaller grid, longer ones amortize their launches.
_CONTEXT_LENS = (2048, 16384)
_TOLERANCES = {torch.float32: 1e-4}  # of the largest number in a residual stream
_HALF_TOLERANCE = 2e-2
_GREEDY = SamplingInput(params=SamplingParams(temperature=0.0), num_output_tokens=0)

Run: TypeAlias = Callable[[], Tensor]
Capture: TypeAlias = Callable[[Run], Run]


class GraphsUnavailable(Exception):
    """Decodes can't be captured here; the message says why."""


@dataclass(frozen=True, slots=True)
class DecodeSize:
    """The most rows of a captured pass, and the most positions of the context of each."""

    num_rows: int
    context_len: int

    def within(self, max_model_len: int) -> "DecodeSize":
        """Return the same for contexts that are never longer than that."""
        return DecodeSize(self.num_rows, min(self.context_len, max_model_len))


def decode_sizes(max_num_seqs: int, max_model_len: int, most_rows: int | None = None) -> tuple[DecodeSize, ...]:
    """Return the sizes that are captured for a scheduler within these limits, the smallest first."""
    rows = _up_to(_NUM_ROWS, max_num_seqs)
    contexts = [min(length, max_model_len) for length in _up_to(_CONTEXT_LENS, max_model_len)]
    return tuple(
        DecodeSize(num_rows, context_len)
        for num_rows in rows
        if most_rows is None or num_rows <= most_rows
        for context_len in contexts
    )


def run_eagerly(run: Run) -> Run:
    """Capture nothing: what is replayed runs again, operation by operation, over the same memory; for any device."""
    return run


class DecodeGraphs:
    """The captured passes of a model, or of a rank's share of one.

    A batch is padded up to the smallest size that holds it, its tensors are copied over those that were captured, and
    what comes out of a replay is copied before the next one overwrites it: a copy and a launch stand for hundreds.
    """

    def __init__(
        self,
        forward: ModelPass,
        sizes: Sequence[DecodeSize],
        capture: Capture,
        on_captured: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Capture every size, the largest first, whose memory the others share, and hold each to the eager pass.

        `on_captured` hears 1 after each. The KV cache is overwritten in part. Raises
        `GraphsUnavailable` where a pass can't be captured, or gives other numbers than it does operation by operation.
        """
        self._forward = forward
        captured: list[_CapturedPass] = []
        for size in reversed(sizes):
            padding = Padding(size.num_rows, size.context_len, forward.storage.scratch_block)
            captured.append(self._captured(padding, capture))
            on_captured(1)
        self._passes = {its.padding: its for its in reversed(captured)}

    def __len__(self) -> int:
        return len(self._passes)

    def padding_for(self, batch: ScheduledBatch) -> Padding | None:
        """Return what a batch is padded to, None where it runs eagerly: it has chunks, or is larger than any size."""
        if batch.chunks:
            return None
        num_rows, longest = len(batch.decodes), max(decode.context_len for decode in batch.decodes)
        fitting = (size for size in self._passes if size.num_rows >= num_rows and size.context_len >= longest)
        return next(fitting, None)

    def replay(self, inputs: InputBatch, packed: PackedInputs, received: Tensor | None) -> Tensor:
        """Return what the pass gives for a batch that was padded for it, the rows of its sequences alone."""
        return self._passes[packed.padding](inputs, packed, received)

    def _captured(self, padding: Padding, capture: Capture) -> "_CapturedPass":
        try:
            captured = _CapturedPass(self._forward, padding, capture)
            is_right = self._agrees(captured)
        except RuntimeError as error:
            raise GraphsUnavailable(str(error).strip().partition("\n")[0]) from error
        if not is_right:
            raise GraphsUnavailable(f"a captured pass of {padding.num_rows} decodes gives other numbers")
        return captured

    def _agrees(self, captured: "_CapturedPass") -> bool:
        """Whether a replay over decodes of many contexts gives what the pass gives operation by operation."""
        forward, padding = self._forward, captured.padding
        storage, vocab_size = forward.storage, forward.model.share.config.vocab_size
        batch = _decodes_of_many_contexts(padding, storage.num_blocks, storage.block_size, vocab_size)
        inputs = forward.inputs(batch, padding)
        assert inputs.packed is not None
        received = forward.blank_stream(padding.num_rows)
        if received is not None:
            received.normal_()
        found = captured(inputs, inputs.packed, received)
        expected = forward(inputs, received)[: len(inputs.sequences)]
        tolerance = _TOLERANCES.get(expected.dtype, _HALF_TOLERANCE)
        return torch.allclose(found, expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))


class _CapturedPass:
    """One size: the tensors that the captured pass reads, and what runs it again."""

    def __init__(self, forward: ModelPass, padding: Padding, capture: Capture) -> None:
        self.padding = padding
        blank = forward.inputs(ScheduledBatch(), padding)
        assert blank.packed is not None
        self._content = blank.packed.content
        self._received = forward.blank_stream(padding.num_rows)

        def run() -> Tensor:  # a pass may change the stream that it gets
            return forward(blank, None if self._received is None else self._received.clone())

        self._replay = capture(run)

    def __call__(self, inputs: InputBatch, packed: PackedInputs, received: Tensor | None) -> Tensor:
        self._content.copy_(packed.content)
        if self._received is not None and received is not None:
            self._received[: len(received)].copy_(received)
        return self._replay()[: len(inputs.sequences)].clone()


def _up_to(values: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Return the values up to the first that is no less than `most`, or all."""
    return values[: bisect_left(values, most) + 1]


def _decodes_of_many_contexts(padding: Padding, num_blocks: int, block_size: int, vocab_size: int) -> ScheduledBatch:
    """Return as many decodes as there are rows, of contexts spread up to the longest; each writes a slot of its own.

    They share their blocks, so that few are enough.
    """
    longest = min(padding.context_len, num_blocks * block_size)
    num_decodes = min(padding.num_rows, longest)
    block_ids = tuple(range(-(-longest // block_size)))
    return ScheduledBatch(
        decodes=tuple(
            ScheduledSequence(
                request_id=index,
                token_ids=(index % vocab_size,),
                first_position=(index + 1) * longest // num_decodes - 1,
                block_ids=block_ids,
                sampling=_GREEDY,
                num_output_tokens=1,
            )
            for index in range(num_decodes)
        )
    )
