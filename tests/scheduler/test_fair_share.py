"""Several owners share an engine: nobody gets more by asking for more, and alone nobody notices."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sarathid.protocol.requests import FinishReason
from sarathid.scheduler.fair_share import OUTPUT_WEIGHT, Ledger
from sarathid.scheduler.policies.registry import POLICIES
from tests.factories import Engine, make_request

MAX_PROMPT = 60
MAX_OUTPUT = 12
MAX_NUM_SEQS = 3
MOST_TOKENS = MAX_NUM_SEQS * (MAX_PROMPT + OUTPUT_WEIGHT * MAX_OUTPUT)

lengths = st.tuples(st.integers(1, MAX_PROMPT), st.integers(1, MAX_OUTPUT))
loads = st.lists(lengths, min_size=1, max_size=8)
budgets = st.integers(4, 64)


def make_engine(policy: str = "stall-free", token_budget: int = 16, max_num_seqs: int = MAX_NUM_SEQS) -> Engine:
    return Engine(policy=policy, token_budget=token_budget, num_blocks=256, max_num_seqs=max_num_seqs)


def starts(engine: Engine) -> list[int]:
    """Return the requests in the order in which they started."""
    started = [chunk.request_id for stats in engine.iterations for chunk in stats.chunks]
    return list(dict.fromkeys(started))


@settings(max_examples=60, deadline=None)
@given(load=loads, token_budget=budgets, policy=st.sampled_from(tuple(POLICIES)))
def test_a_single_owner_is_served_in_order_of_arrival(
    load: list[tuple[int, int]], token_budget: int, policy: str
) -> None:
    engine = make_engine(policy, token_budget)
    for number, (num_prompt, most) in enumerate(load):
        engine.add(make_request(number, num_prompt, max_tokens=most, owner="web"))
    engine.run()

    assert starts(engine) == list(range(len(load)))


@settings(max_examples=20, deadline=None)
@given(loads=st.lists(loads, min_size=2, max_size=4), token_budget=budgets, policy=st.sampled_from(tuple(POLICIES)))
def test_owners_that_always_have_somebody_waiting_get_the_same_number_of_tokens(
    loads: list[list[tuple[int, int]]], token_budget: int, policy: str
) -> None:
    """The bound is that of the paper (theorem 4.4): twice what one owner can have in one batch."""
    engine = make_engine(policy, token_budget)
    queue = engine.core._scheduler._waiting
    num_added = 0
    for _ in range(150):
        for owner, load in enumerate(loads):
            while sum(sequence.request.owner == str(owner) for sequence in queue) < 2:
                num_prompt, most = load[num_added % len(load)]
                engine.add(make_request(num_added, num_prompt, max_tokens=most, owner=str(owner)))
                num_added += 1
        engine.step()
        charged = [account.num_charged for account in queue.accounts]
        assert max(charged) - min(charged) <= 2 * MOST_TOKENS
    assert min(charged) > 0


@settings(max_examples=60, deadline=None)
@given(
    flood=st.lists(lengths, min_size=12, max_size=60),
    own=lengths,
    num_before=st.integers(1, 12),
    token_budget=st.integers(MAX_NUM_SEQS + 1, 64),
)
def test_who_floods_the_queue_holds_others_up_until_a_place_is_free_and_no_longer(
    flood: list[tuple[int, int]], own: tuple[int, int], num_before: int, token_budget: int
) -> None:
    engine = make_engine(token_budget=token_budget)
    for number, (num_prompt, most) in enumerate(flood, start=1):
        engine.add(make_request(number, num_prompt, max_tokens=most, owner="flood"))
    for _ in range(num_before):
        engine.step()
    assume(engine.core._scheduler.num_waiting > 1)
    engine.add(make_request(0, own[0], max_tokens=own[1], owner="web"))
    while engine.core._scheduler.num_running == MAX_NUM_SEQS:
        engine.step()
    stats = engine.step()

    assert stats is not None
    assert 0 in {chunk.request_id for chunk in stats.chunks}


def test_a_prompt_of_many_iterations_holds_up_nobody_but_its_owner() -> None:
    engine = make_engine(token_budget=16)
    engine.add(make_request(1, 200, owner="long"))
    engine.add(make_request(2, 20, owner="long"))
    engine.step()
    engine.add(make_request(3, 20, max_tokens=1, owner="web"))
    for _ in range(4):
        engine.step()

    assert 3 in engine.reasons, "it waited for the long prompt"
    engine.run()
    assert starts(engine) == [1, 3, 2]


def test_nobody_saves_tokens_up_while_away() -> None:
    engine = make_engine(max_num_seqs=1)
    engine.add(make_request(1, 8, owner="web"))
    engine.run()
    for number in range(2, 12):
        engine.add(make_request(number, 40, max_tokens=4, owner="flood"))
    for _ in range(30):
        engine.step()
    for number in range(20, 24):
        engine.add(make_request(number, 40, max_tokens=4, owner="web"))
    engine.run()

    both = [number >= 20 for number in starts(engine) if number > 5]
    assert sum(both[:4]) <= 3, "who was away got all turns"


def test_what_the_prefix_cache_had_and_what_is_computed_again_is_free() -> None:
    engine = Engine(prefix_cache=True, num_blocks=256, token_budget=64)
    scheduler = engine.core._scheduler
    for number in (1, 2):
        engine.add(make_request(number, 33, max_tokens=1, topic=1, owner="web"))
        engine.run()
    engine.add(make_request(3, 33, max_tokens=3, topic=5, owner="web"))
    account = scheduler[3].account
    assert account.num_charged == 33 + 1
    engine.step()
    scheduler[3].restart()
    scheduler[3].schedule_chunk(33)
    scheduler[3].settle()
    assert account.num_charged == 33 + 1 + 33


def test_output_tokens_count_twice() -> None:
    engine = make_engine()
    engine.add(make_request(1, 10, max_tokens=5, owner="web"))
    account = engine.core._scheduler[1].account
    engine.run()
    assert account.num_charged == 10 + OUTPUT_WEIGHT * 4  # the last token is not computed on


def test_a_higher_priority_is_served_earlier_within_one_owner_alone() -> None:
    engine = make_engine(max_num_seqs=1)
    engine.add(make_request(1, 8, max_tokens=4, owner="web"))
    engine.add(make_request(2, 8, max_tokens=4, owner="web"))
    engine.add(make_request(3, 8, max_tokens=4, owner="web", priority=-1))
    engine.add(make_request(4, 8, max_tokens=4, owner="batch", priority=10))
    engine.run()

    assert starts(engine).index(4) <= 1, "its priority held it up behind another owner"
    assert [number for number in starts(engine) if number != 4] == [3, 1, 2]


def test_the_lowest_priority_is_passed_by_a_bounded_number_of_the_highest() -> None:
    engine = make_engine(max_num_seqs=1, token_budget=64)
    engine.add(make_request(0, 1, max_tokens=1, owner="web", priority=10))
    number = 0
    while 0 not in engine.reasons:
        number += 1
        engine.add(make_request(number, 1, max_tokens=1, owner="web", priority=-10))
        engine.step()

    assert number <= 20 * 32 + 1


def test_deficits_are_told_of_those_who_wait_while_several_have_requests() -> None:
    engine = make_engine(max_num_seqs=1)
    engine.add(make_request(1, 30, max_tokens=30, owner="web"))
    for _ in range(5):
        engine.step()
    scheduler = engine.core._scheduler
    assert scheduler.deficits == {}
    engine.add(make_request(2, 8, owner="batch"))
    for _ in range(3):
        engine.step()
    assert scheduler.deficits == {"batch": 2 * OUTPUT_WEIGHT}  # the third is charged for when the next begins
    engine.take(engine.core.cancel(1, FinishReason.CANCELLED))
    assert scheduler.deficits == {}


@pytest.mark.parametrize("num_owners", [1, 1024, 3000])
def test_accounts_of_owners_that_are_gone_are_forgotten(num_owners: int) -> None:
    ledger = Ledger()
    for number in range(num_owners):
        ledger.leave(ledger.enter(str(number)))

    assert not ledger.is_shared
    assert len(ledger._accounts) <= 1024
