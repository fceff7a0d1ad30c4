"""A scheduled batch becomes the tensors that its values say."""

import torch

from sarathid.executor.input_batch import build_input_batch
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput, ScheduledBatch, ScheduledSequence

SAMPLING = SamplingInput(params=SamplingParams(), num_output_tokens=0)


def make_sequence(
    token_ids: tuple[int, ...], first_position: int, block_ids: tuple[int, ...], is_sampled: bool = True
) -> ScheduledSequence:
    return ScheduledSequence(
        request_id=1,
        token_ids=token_ids,
        first_position=first_position,
        block_ids=block_ids,
        sampling=SAMPLING if is_sampled else None,
    )


def test_a_mixed_batch_is_flattened_decodes_first() -> None:
    batch = ScheduledBatch(
        decodes=(make_sequence((7,), 4, (9, 3)), make_sequence((8,), 0, (2,))),
        chunks=(make_sequence((11, 12, 13), 6, (5, 1, 6), is_sampled=False), make_sequence((21, 22), 0, (8,))),
    )
    found = build_input_batch(batch, 4, None, torch.device("cpu"))
    metadata = found.metadata
    assert found.token_ids.tolist() == [7, 8, 11, 12, 13, 21, 22]
    assert found.positions.tolist() == [4, 0, 6, 7, 8, 0, 1]
    assert metadata.slot_mapping.tolist() == [3 * 4, 2 * 4, 1 * 4 + 2, 1 * 4 + 3, 6 * 4, 8 * 4, 8 * 4 + 1]
    assert metadata.query_start.tolist() == [0, 1, 2, 5, 7]
    assert metadata.context_lens.tolist() == [5, 1, 9, 2]
    assert metadata.block_tables.tolist() == [[9, 3, 0], [2, 0, 0], [5, 1, 6], [8, 0, 0]]
    assert found.sample_rows.tolist() == [0, 1, 6]
    assert found.sampling == (SAMPLING,) * 3
    assert (metadata.max_query_len, metadata.max_context_len, metadata.num_decodes) == (3, 9, 2)
    assert metadata.query_start.dtype == metadata.context_lens.dtype == metadata.block_tables.dtype == torch.int32
    assert found.token_ids.dtype == found.positions.dtype == metadata.slot_mapping.dtype == torch.int64


def test_a_chunk_that_does_not_end_its_prompt_samples_nothing() -> None:
    batch = ScheduledBatch(chunks=(make_sequence((1, 2), 0, (0,), is_sampled=False),))
    found = build_input_batch(batch, 16, None, torch.device("cpu"))
    assert (found.sample_rows.tolist(), found.sampling) == ([], ())
