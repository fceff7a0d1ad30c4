from sarathid.clock import VirtualClock
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile
from sarathid.executor.simulated import SimulatedExecutor
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput, ScheduledBatch, ScheduledSequence

PROFILE = find_profile("a100/mistral-7b-tp1")


def row(token_ids: tuple[int, ...], first_position: int) -> ScheduledSequence:
    sampling = SamplingInput(params=SamplingParams(), num_output_tokens=0)
    return ScheduledSequence(
        request_id=1, token_ids=token_ids, first_position=first_position, block_ids=(0,), sampling=sampling
    )


def chained(*rows: ScheduledSequence) -> tuple[int | None, ...]:
    executor = SimulatedExecutor(
        IterationCostModel(PROFILE), VirtualClock(), max_model_len=64, block_size=16, chains=True
    )
    executor.submit(ScheduledBatch(decodes=rows, chunks=(), preempted=()))
    return executor.collect().drawn.token_ids


def test_a_chained_token_follows_from_the_one_before_it_and_its_place_alone() -> None:
    whole, resumed, another, shifted = chained(row((5, 6, 7), 0), row((7,), 2), row((8,), 2), row((7,), 3))

    assert whole == resumed
    assert len({whole, another, shifted}) == 3


def test_a_cache_of_another_size_holds_other_blocks() -> None:
    a_block = PROFILE.memory.kv_bytes_per_token * 16

    assert PROFILE.num_blocks(16, 10 * a_block) == 10
    assert PROFILE.num_blocks(16) == PROFILE.memory.kv_cache_bytes // a_block
