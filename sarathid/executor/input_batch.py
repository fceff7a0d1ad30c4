"""Turns a scheduled batch of values into the tensors of one forward pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from sarathi_kernels.backend import AttentionMetadata
from torch import Tensor

from sarathid.executor.staging import NumberArray, send, send_packed, unpack
from sarathid.scheduler.batch import SamplingInput, ScheduledBatch, ScheduledSequence


@dataclass(frozen=True, slots=True)
class Padding:
    """What a decode-only batch is filled up to: so many rows, and block tables for contexts of so many positions.

    Rows that are no sequence's decode token 0 at position 0 of `scratch_block`, a block that belongs to nobody.
    """

    num_rows: int
    context_len: int
    scratch_block: int


@dataclass(frozen=True, slots=True)
class PackedInputs:
    """The tensors of a padded batch in one piece of memory, laid out alike in all batches of that padding."""

    padding: Padding
    content: Tensor  # [num_bytes] uint8


@dataclass(frozen=True, slots=True)
class InputBatch:
    """The flattened tokens of a mixed batch, decodes first, and where they belong.

    `sampling` has one entry for each of `sample_rows`, in the order of the batch's `sequences`. Of a padded batch,
    whose tensors are views of what is `packed`, the rows of its sequences come first.
    """

    token_ids: Tensor  # [num_tokens] int64
    positions: Tensor  # [num_tokens] int64
    sample_rows: Tensor  # [num_samples] int64, rows among num_tokens
    metadata: AttentionMetadata
    sampling: tuple[SamplingInput, ...]
    sequences: tuple[ScheduledSequence, ...]
    packed: PackedInputs | None = None


def build_input_batch(
    batch: ScheduledBatch, block_size: int, sliding_window: int | None, device: torch.device
) -> InputBatch:
    """Return the tensors of a non-empty batch on `device`."""
    arrays = _arrays(batch.sequences, block_size)
    return _input_batch(
        batch,
        send(arrays, device),
        sliding_window,
        max_query_len=int(np.diff(arrays["query_start"]).max()),
        max_context_len=int(arrays["context_lens"].max()),
        num_decodes=len(batch.decodes),
    )


def build_padded_batch(
    batch: ScheduledBatch, block_size: int, sliding_window: int | None, device: torch.device, padding: Padding
) -> InputBatch:
    """Return the tensors of a decode-only batch, filled up to a padding that holds it; an empty one is all padding."""
    arrays = _blank_arrays(padding, block_size)
    if batch:
        _write_rows(arrays, _arrays(batch.decodes, block_size))
    values = tuple(arrays.values())
    content = send_packed(values, device)
    return _input_batch(
        batch,
        dict(zip(arrays, unpack(content, values), strict=True)),
        sliding_window,
        max_query_len=1,
        max_context_len=padding.context_len,
        num_decodes=padding.num_rows,
        packed=PackedInputs(padding, content),
    )


def _input_batch(
    batch: ScheduledBatch,
    tensors: Mapping[str, Tensor],
    sliding_window: int | None,
    *,
    max_query_len: int,
    max_context_len: int,
    num_decodes: int,
    packed: PackedInputs | None = None,
) -> InputBatch:
    sampling = tuple(s.sampling for s in batch.sequences if s.sampling is not None)
    return InputBatch(
        token_ids=tensors["token_ids"],
        positions=tensors["positions"],
        sample_rows=tensors["sample_rows"][: len(sampling)],
        metadata=AttentionMetadata(
            query_start=tensors["query_start"],
            context_lens=tensors["context_lens"],
            block_tables=tensors["block_tables"],
            slot_mapping=tensors["slot_mapping"],
            num_output_queries=tensors["num_output_queries"],
            max_query_len=max_query_len,
            max_context_len=max_context_len,
            sliding_window=sliding_window,
            num_decodes=num_decodes,
        ),
        sampling=sampling,
        sequences=batch.sequences,
        packed=packed,
    )


def _arrays(sequences: Sequence[ScheduledSequence], block_size: int) -> dict[str, NumberArray]:
    """Return the arrays behind the tensors of some sequences' tokens."""
    num_sequences = len(sequences)
    first_positions = np.fromiter((s.first_position for s in sequences), np.int64, num_sequences)
    lengths = np.fromiter((len(s.token_ids) for s in sequences), np.int64, num_sequences)
    query_start = np.zeros(num_sequences + 1, np.int64)
    np.cumsum(lengths, out=query_start[1:])
    num_tokens = int(query_start[-1])

    owners = np.repeat(np.arange(num_sequences), lengths)  # [num_tokens], which sequence a token is of
    positions = np.arange(num_tokens) - query_start[owners] + first_positions[owners]
    block_tables = _block_tables(sequences)
    slots = block_tables[owners, positions // block_size].astype(np.int64) * block_size + positions % block_size
    samples = [index for index, sequence in enumerate(sequences) if sequence.sampling is not None]
    return {
        "token_ids": np.fromiter(chain.from_iterable(s.token_ids for s in sequences), np.int64, num_tokens),
        "positions": positions,
        "sample_rows": query_start[1:][samples] - 1,
        "query_start": query_start.astype(np.int32),
        "context_lens": (first_positions + lengths).astype(np.int32),
        "block_tables": block_tables,
        "slot_mapping": slots,
        "num_output_queries": np.fromiter((s.num_output_tokens for s in sequences), np.int32, num_sequences),
    }


def _blank_arrays(padding: Padding, block_size: int) -> dict[str, NumberArray]:
    """Return the same arrays of rows that are all padding."""
    num_rows, num_blocks = padding.num_rows, -(-padding.context_len // block_size)
    return {
        "token_ids": np.zeros(num_rows, np.int64),
        "positions": np.zeros(num_rows, np.int64),
        "sample_rows": np.zeros(num_rows, np.int64),
        "query_start": np.arange(num_rows + 1, dtype=np.int32),
        "context_lens": np.ones(num_rows, np.int32),
        "block_tables": np.full((num_rows, num_blocks), padding.scratch_block, np.int32),
        "slot_mapping": np.full(num_rows, padding.scratch_block * block_size, np.int64),
        "num_output_queries": np.ones(num_rows, np.int32),
    }


def _write_rows(blank: Mapping[str, NumberArray], arrays: Mapping[str, NumberArray]) -> None:
    """Write each array into the beginning of its blank; blocks behind every context that the padding holds are left."""
    for name, array in arrays.items():
        if array.ndim == 2:
            array = array[:, : blank[name].shape[1]]
            blank[name][: len(array), : array.shape[1]] = array
        else:
            blank[name][: len(array)] = array


def _block_tables(sequences: Sequence[ScheduledSequence]) -> NDArray[np.int32]:
    """Return [num_seqs, max_blocks] int32, rows padded with block 0."""
    tables = np.zeros((len(sequences), max(len(s.block_ids) for s in sequences)), np.int32)
    for row, sequence in zip(tables, sequences, strict=True):
        row[: len(sequence.block_ids)] = sequence.block_ids
    return tables
