"""What must hold in every schedule, over random loads, retunings and cancellations."""

from random import Random

import pytest

from sarathid.protocol.requests import FinishReason, PrefillOrder, Request
from sarathid.protocol.step import ChangeSettings
from sarathid.scheduler.policies.registry import POLICIES
from tests.factories import Engine, expected_output, make_request

NUM_SCHEDULES = 10_000


def random_engine(random: Random) -> Engine:
    block_size = random.choice((1, 2, 3, 4, 16))
    num_blocks = random.randint(max(1, 12 // block_size), 48)
    return Engine(
        num_blocks=num_blocks,
        block_size=block_size,
        max_model_len=random.randint(4, min(64, num_blocks * block_size)),
        max_num_seqs=random.randint(1, 8),
        token_budget=random.choice((1, 2, 5, 16, 64)),
        prefill_order=random.choice(tuple(PrefillOrder)),
        policy=random.choice(("stall-free", *POLICIES)),
        max_batches_in_flight=random.choice((1, 1, 1, 2, 3, 4)),
        prefix_cache=random.random() < 0.5,
        runs_ahead=random.random() < 0.3,
    )


def check_iteration(engine: Engine, decoding: set[int], policy: str) -> None:
    """Check the newest batch against what was known before it was made."""
    batch = engine.executor.batches[-1]
    stats = engine.iterations[-1]
    scheduled = [sequence.request_id for sequence in batch.sequences]
    assert len(scheduled) == len(set(scheduled)), "a request is twice in a batch"
    assert not set(scheduled) & set(batch.preempted), "a request runs and is preempted"
    if policy == "stall-free":
        num_prefill = batch.num_tokens - len(batch.decodes)
        assert num_prefill <= max(0, stats.token_budget - len(batch.decodes)), "the budget is exceeded"
        assert decoding <= set(scheduled) | set(batch.preempted), "a running decode was left out"


@pytest.mark.parametrize("part", range(10))
def test_ten_thousand_random_schedules_hold_every_promise(part: int) -> None:
    for seed in range(part * NUM_SCHEDULES // 10, (part + 1) * NUM_SCHEDULES // 10):
        try:
            run_random_schedule(Random(seed))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def run_random_schedule(random: Random) -> None:
    engine = random_engine(random)
    is_pipelined = engine.executor.max_batches_in_flight > 1
    max_model_len = engine.executor.start().max_model_len
    requests: dict[int, Request] = {}
    cancelled: set[int] = set()
    decoding: set[int] = set()
    policy = engine.core._controller.settings.policy
    num_left = random.randint(1, 8)
    for _ in range(5000):
        if random.random() < 0.3:
            engine.core.launch_ahead()  # so that what follows happens while two batches are in flight, too
        if num_left and random.random() < 0.3:
            num_left -= 1
            request = make_request(
                len(requests) + 1,
                num_prompt_tokens=random.randint(1, max_model_len - 1),
                max_tokens=random.choice((1, 3, 9, None)),
                topic=random.choice((None, 1, 2)),
                owner=random.choice(("", "", "web", "batch")),
                priority=random.choice((0, 0, -10, 10)),
            )
            requests[request.request_id] = request
            engine.add(request)
        if random.random() < 0.02 and requests:
            victim = random.choice(list(requests))
            if victim not in engine.reasons:
                cancelled.add(victim)
                decoding.discard(victim)
                engine.take(engine.core.cancel(victim, FinishReason.CANCELLED))
        if random.random() < 0.05:
            policy = random.choice(("stall-free", *POLICIES))
            budget = random.choice((1, 3, 16, 64))
            engine.core.change_settings(ChangeSettings(change_id=0, budget=budget, policy=policy))
        if not engine.core.has_work:
            if not num_left:
                break
            continue
        num_batches = len(engine.executor.batches)
        stats = engine.step()
        if stats is not None and not is_pipelined:
            assert len(engine.executor.batches) == num_batches + 1
            check_iteration(engine, decoding, policy)
            decoding -= set(stats.preempted) | set(stats.finished)
            decoding |= {gap.request_id for gap in stats.gaps} | {first.request_id for first in stats.first_tokens}
            decoding -= set(stats.finished)
    assert not engine.core.has_work, "a request never finished"
    assert set(engine.reasons) == set(requests), "a request was lost"
    for ended in engine.finished:
        moments = [ended.scheduled_s, ended.first_token_s, ended.finished_s]
        known = [moment for moment in moments if moment is not None]
        assert known == sorted(known), "a request's moments are out of order"
    for request_id, request in requests.items():
        output = engine.outputs[request_id]
        assert output == expected_output(request, len(output)), "the cache held something else"
        if request_id not in cancelled:
            longest = max_model_len - len(request.prompt_token_ids)
            wanted = longest if request.sampling.max_tokens is None else request.sampling.max_tokens
            assert len(output) == min(wanted, longest)
