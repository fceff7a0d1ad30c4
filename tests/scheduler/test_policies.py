"""What each policy puts into an iteration, on the arithmetic model."""

import pytest

from sarathid.errors import ConfigError
from sarathid.protocol.step import ChangeSettings
from sarathid.scheduler.policies.registry import find_policy
from tests.factories import Engine, make_request


def shape(engine: Engine) -> tuple[int, list[tuple[int, int, int]]]:
    """Run an iteration; return its decodes and its chunks as (request, start, length)."""
    stats = engine.step()
    assert stats is not None
    return stats.num_decode_tokens, [(chunk.request_id, chunk.start, chunk.length) for chunk in stats.chunks]


def test_stall_free_puts_every_decode_first_and_fills_up_with_chunks() -> None:
    engine = Engine(token_budget=8)
    for i in (1, 2):
        engine.add(make_request(i, num_prompt_tokens=4, max_tokens=20))
    assert shape(engine) == (0, [(1, 0, 4), (2, 0, 4)])
    engine.add(make_request(3, num_prompt_tokens=10))
    engine.add(make_request(4, num_prompt_tokens=10))
    assert shape(engine) == (2, [(3, 0, 6)])
    assert shape(engine) == (2, [(3, 6, 4), (4, 0, 2)])
    assert shape(engine) == (3, [(4, 2, 5)])


def test_stall_free_runs_every_decode_even_above_the_budget() -> None:
    engine = Engine(token_budget=12)
    for i in range(1, 5):
        engine.add(make_request(i, num_prompt_tokens=3, max_tokens=50))
    assert shape(engine) == (0, [(1, 0, 3), (2, 0, 3), (3, 0, 3), (4, 0, 3)])
    engine.core.change_settings(ChangeSettings(change_id=1, budget=2))
    engine.add(make_request(5))
    assert shape(engine) == (4, [])


def test_blocks_are_taken_chunk_by_chunk() -> None:
    engine = Engine(token_budget=8, block_size=4, num_blocks=64)
    engine.add(make_request(num_prompt_tokens=100))
    used = []
    for _ in range(3):
        stats = engine.step()
        assert stats is not None
        used.append(stats.num_blocks_used)
    assert used == [2, 4, 6]


def test_admission_counts_what_started_prompts_will_still_need() -> None:
    engine = Engine(token_budget=8, block_size=4, num_blocks=20, max_model_len=80)
    engine.add(make_request(1, num_prompt_tokens=7))
    engine.add(make_request(2, num_prompt_tokens=60))
    engine.add(make_request(3, num_prompt_tokens=16))
    assert shape(engine) == (0, [(1, 0, 7), (2, 0, 1)])
    for _ in range(8):
        _, chunks = shape(engine)
        assert all(request_id == 2 for request_id, _, _ in chunks)


def test_admission_is_in_order_of_arrival_and_skips_nobody() -> None:
    engine = Engine(token_budget=64, block_size=4, num_blocks=20, max_model_len=80)
    engine.add(make_request(1, num_prompt_tokens=40, max_tokens=30))
    engine.add(make_request(2, num_prompt_tokens=60))
    engine.add(make_request(3, num_prompt_tokens=4))
    assert shape(engine) == (0, [(1, 0, 40)])
    assert shape(engine) == (1, [])


def test_max_num_seqs_bounds_the_running() -> None:
    engine = Engine(token_budget=64, max_num_seqs=2)
    for i in range(1, 4):
        engine.add(make_request(i, num_prompt_tokens=4))
    assert shape(engine) == (0, [(1, 0, 4), (2, 0, 4)])


def test_the_youngest_is_preempted_and_resumed_before_anything_new() -> None:
    engine = Engine(num_blocks=6, block_size=2, max_model_len=12, token_budget=64)
    for i in (1, 2):
        engine.add(make_request(i, num_prompt_tokens=5, max_tokens=6))
    engine.add(make_request(3, num_prompt_tokens=2, max_tokens=2))
    engine.run()
    assert [stats.preempted for stats in engine.iterations if stats.preempted] == [(2,)]
    started = [chunk.request_id for stats in engine.iterations for chunk in stats.chunks if chunk.start == 0]
    assert started == [1, 2, 2, 3]


def test_prefill_first_runs_whole_prompts_alone_and_lets_decodes_wait() -> None:
    engine = Engine(policy="prefill-first", token_budget=8)
    engine.add(make_request(1, num_prompt_tokens=30, max_tokens=20))
    assert shape(engine) == (0, [(1, 0, 30)])
    assert shape(engine) == (1, [])
    engine.add(make_request(2, num_prompt_tokens=50))
    assert shape(engine) == (0, [(2, 0, 50)])
    assert shape(engine) == (2, [])


def test_a_prompt_started_in_chunks_is_finished_whole_after_a_change_to_prefill_first() -> None:
    engine = Engine(token_budget=8)
    engine.add(make_request(1, num_prompt_tokens=30))
    assert shape(engine) == (0, [(1, 0, 8)])
    engine.core.change_settings(ChangeSettings(change_id=1, policy="prefill-first"))
    assert shape(engine) == (0, [(1, 8, 22)])


def test_an_unknown_policy_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match="stall-free, prefill-first"):
        find_policy("fastest")


def test_mixed_whole_puts_whole_prompts_beside_decodes_and_reserves_the_longest_context() -> None:
    engine = Engine(policy="mixed-whole", token_budget=8, block_size=4, num_blocks=48, max_model_len=64)
    for i in (1, 2, 3, 4):
        engine.add(make_request(i, num_prompt_tokens=20))
    assert shape(engine) == (0, [(1, 0, 20), (2, 0, 20), (3, 0, 20)])
    assert engine.iterations[-1].num_blocks_used == 48
    assert shape(engine) == (3, [])
    engine.run()
    assert all(not stats.preempted for stats in engine.iterations)


def test_mixed_whole_mixes() -> None:
    engine = Engine(policy="mixed-whole", block_size=4, num_blocks=48, max_model_len=64)
    engine.add(make_request(1, num_prompt_tokens=20))
    shape(engine)
    engine.add(make_request(2, num_prompt_tokens=30))
    assert shape(engine) == (1, [(2, 0, 30)])


def test_request_level_starts_nobody_until_all_have_finished() -> None:
    engine = Engine(policy="request-level")
    engine.add(make_request(1, num_prompt_tokens=20, max_tokens=3))
    assert shape(engine) == (0, [(1, 0, 20)])
    engine.add(make_request(2, num_prompt_tokens=30))
    assert [shape(engine) for _ in range(3)] == [(1, []), (1, []), (0, [(2, 0, 30)])]


def test_chunked_only_alternates_and_never_mixes() -> None:
    engine = Engine(policy="chunked-only", token_budget=8)
    engine.add(make_request(1, num_prompt_tokens=8, max_tokens=20))
    engine.add(make_request(2, num_prompt_tokens=20))
    shapes = [shape(engine) for _ in range(6)]
    assert shapes == [(0, [(1, 0, 8)]), (1, []), (0, [(2, 0, 8)]), (1, []), (0, [(2, 8, 8)]), (1, [])]


def test_hybrid_only_mixes_and_never_chunks() -> None:
    engine = Engine(policy="hybrid-only", token_budget=8)
    engine.add(make_request(1, num_prompt_tokens=20))
    assert shape(engine) == (0, [(1, 0, 20)])
    engine.add(make_request(2, num_prompt_tokens=90))
    assert shape(engine) == (1, [(2, 0, 90)])
