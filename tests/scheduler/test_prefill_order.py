"""Whose prompt is computed first, and for how long a long one can be passed over."""

from sarathid.protocol.requests import PrefillOrder
from sarathid.scheduler.prefill_order import by_remaining
from tests.factories import Engine, make_request


def make_engine(order: PrefillOrder) -> Engine:
    return Engine(
        token_budget=64, num_blocks=1024, block_size=16, max_model_len=8192, max_num_seqs=4, prefill_order=order
    )


def first_tokens(engine: Engine, lengths: tuple[int, ...]) -> list[int]:
    """Return the numbers of the requests in the order of their first tokens."""
    for number, num_prompt_tokens in enumerate(lengths):
        engine.add(make_request(number, num_prompt_tokens, max_tokens=1))
    engine.run()
    return [first.request_id for stats in engine.iterations for first in stats.first_tokens]


def test_prompts_are_computed_as_they_came() -> None:
    assert first_tokens(make_engine(PrefillOrder.ARRIVAL), (2000, 100, 50)) == [0, 1, 2]


def test_the_prompt_with_least_left_goes_first() -> None:
    assert first_tokens(make_engine(PrefillOrder.SHORTEST_REMAINING), (2000, 400, 50)) == [2, 1, 0]


def test_a_prompt_that_is_nearly_done_is_finished_before_a_new_one() -> None:
    engine = make_engine(PrefillOrder.SHORTEST_REMAINING)
    engine.add(make_request(0, 1000, max_tokens=1))
    for _ in range(15):
        engine.step()
    engine.add(make_request(1, 300, max_tokens=1))
    engine.run()
    order = [first.request_id for stats in engine.iterations for first in stats.first_tokens]
    assert order == [0, 1]


def test_at_most_one_newer_request_passes_for_every_64_tokens() -> None:
    engine = make_engine(PrefillOrder.SHORTEST_REMAINING)
    order = first_tokens(engine, (640, *(16 for _ in range(40))))
    assert order.index(0) <= 640 // 64 + 4


def test_what_was_preempted_keeps_its_place() -> None:
    engine = make_engine(PrefillOrder.SHORTEST_REMAINING)
    engine.add(make_request(7, 4000))
    sequence = engine.core._scheduler[7]
    before = by_remaining(sequence)
    sequence.restart()
    assert by_remaining(sequence) == sequence.place < before
