"""Turns a scheduled batch of values into the tensors of one forward pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from sarathi_kernels.backend import AttentionMetadata
from torch import Tensor

from sarathid.executor.staging import send
from sarathid.scheduler.batch import SamplingInput, ScheduledBatch, ScheduledSequence


@dataclass(frozen=True, slots=True)
class InputBatch:
    """The flattened tokens of a mixed batch, decodes first, and where they belong.

    `sampling` has one entry for each of `sample_rows`, in the order of the batch's `sequences`.
    """

    token_ids: Tensor  # [num_tokens] int64
    positions: Tensor  # [num_tokens] int64
    sample_rows: Tensor  # [num_samples] int64, rows among num_tokens
    metadata: AttentionMetadata
    sampling: tuple[SamplingInput, ...]
    sequences: tuple[ScheduledSequence, ...]


def build_input_batch(
    batch: ScheduledBatch, block_size: int, sliding_window: int | None, device: torch.device
) -> InputBatch:
    """Return the tensors of a non-empty batch on `device`."""
    sequences = batch.sequences
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
    context_lens = first_positions + lengths

    sent = send(
        {
            "token_ids": np.fromiter(chain.from_iterable(s.token_ids for s in sequences), np.int64, num_tokens),
            "positions": positions,
            "sample_rows": query_start[1:][samples] - 1,
            "query_start": query_start.astype(np.int32),
            "context_lens": context_lens.astype(np.int32),
            "block_tables": block_tables,
            "slot_mapping": slots,
            "num_output_queries": np.fromiter((s.num_output_tokens for s in sequences), np.int32, num_sequences),
        },
        device,
    )
    return InputBatch(
        token_ids=sent["token_ids"],
        positions=sent["positions"],
        sample_rows=sent["sample_rows"],
        metadata=AttentionMetadata(
            query_start=sent["query_start"],
            context_lens=sent["context_lens"],
            block_tables=sent["block_tables"],
            slot_mapping=sent["slot_mapping"],
            num_output_queries=sent["num_output_queries"],
            max_query_len=int(lengths.max()),
            max_context_len=int(context_lens.max()),
            sliding_window=sliding_window,
            num_decodes=len(batch.decodes),
        ),
        sampling=tuple(s.sampling for s in sequences if s.sampling is not None),
        sequences=sequences,
    )


def _block_tables(sequences: Sequence[ScheduledSequence]) -> NDArray[np.int32]:
    """Return [num_seqs, max_blocks] int32, rows padded with block 0."""
    tables = np.zeros((len(sequences), max(len(s.block_ids) for s in sequences)), np.int32)
    for row, sequence in zip(tables, sequences, strict=True):
        row[: len(sequence.block_ids)] = sequence.block_ids
    return tables
