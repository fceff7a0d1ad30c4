import pytest
import torch

from sarathid.executor.awaited_tokens import AwaitedTokens
from sarathid.executor.input_batch import InputBatch, build_input_batch
from sarathid.executor.launched_draw import TokensOnDevice, TokensOnHost
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import AWAITED_TOKEN, SamplingInput, ScheduledBatch, ScheduledSequence
from tests.executor.no_waits import META, NoWaits

CPU = torch.device("cpu")


def row(request_id: int, *token_ids: int, draws: bool = True) -> ScheduledSequence:
    sampling = SamplingInput(params=SamplingParams(), num_output_tokens=0, request_id=request_id)
    return ScheduledSequence(
        request_id=request_id,
        token_ids=token_ids,
        first_position=0,
        block_ids=(request_id,),
        sampling=sampling if draws else None,
    )


def inputs_of(
    *,
    decodes: tuple[ScheduledSequence, ...] = (),
    chunks: tuple[ScheduledSequence, ...] = (),
    device: torch.device = CPU,
) -> InputBatch:
    return build_input_batch(ScheduledBatch(decodes=decodes, chunks=chunks), 16, None, device)


def test_each_decode_gets_what_the_batch_before_drew_for_it_whatever_its_row_there() -> None:
    awaited = AwaitedTokens()
    before = inputs_of(decodes=(row(1, 5),), chunks=(row(2, 6, 7, draws=False), row(3, 8, 9)))
    awaited.note(before, TokensOnHost((11, 33)))

    behind = inputs_of(
        decodes=(row(3, AWAITED_TOKEN), row(4, 44), row(1, AWAITED_TOKEN)), chunks=(row(2, 70, 71), row(5, 80))
    )
    awaited.fill_in(behind)

    assert behind.token_ids.tolist() == [33, 44, 11, 70, 71, 80]


def test_who_was_not_in_the_batch_before_awaits_nothing_of_it() -> None:
    awaited = AwaitedTokens()
    awaited.note(inputs_of(decodes=(row(1, 5),)), TokensOnHost((11,)))

    with pytest.raises(KeyError):
        awaited.fill_in(inputs_of(decodes=(row(2, AWAITED_TOKEN),)))


def test_the_host_does_not_wait_for_a_device_that_takes_the_tokens_from_itself() -> None:
    awaited = AwaitedTokens()
    with NoWaits():
        drawn = TokensOnDevice(torch.empty(1, dtype=torch.int64, device=META), torch.empty(1, device=META) > 0)
        awaited.note(inputs_of(decodes=(row(1, 5),), device=META), drawn)
        behind = inputs_of(decodes=(row(1, AWAITED_TOKEN),), device=META)
        awaited.fill_in(behind)
    assert behind.token_ids.device == META
