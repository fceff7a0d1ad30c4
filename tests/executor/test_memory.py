"""The KV cache takes what it may, serves what fits, and refuses with the numbers."""

import pytest
import torch

from sarathid.errors import ModelRefused
from sarathid.executor.memory import KVPlan, free_bytes, kv_budget_bytes, plan_kv_cache

BYTES_PER_TOKEN = 1024


def make_plan(num_tokens: int, *, max_num_seqs: int = 4, asked_model_len: int | None = None) -> KVPlan:
    """Plan for memory of `num_tokens` positions, blocks of 16 and a model of 1,000 positions."""
    return plan_kv_cache(num_tokens // 16, 16, BYTES_PER_TOKEN, max_num_seqs, 1000, asked_model_len)


def test_no_more_than_all_sequences_at_full_length_can_fill() -> None:
    assert make_plan(1_000_000) == KVPlan(num_blocks=63 * 4, max_model_len=1000)


def test_all_the_memory_when_it_holds_less() -> None:
    assert make_plan(1600) == KVPlan(num_blocks=100, max_model_len=1000)


def test_sequences_are_cut_with_a_note_when_one_does_not_fit() -> None:
    plan = make_plan(330)
    assert (plan.num_blocks, plan.max_model_len) == (20, 320)
    assert plan.note is not None and "320 of the model's 1000" in plan.note


def test_a_length_that_was_asked_for_is_kept_or_refused() -> None:
    assert make_plan(400, asked_model_len=320).max_model_len == 320
    with pytest.raises(ModelRefused, match=r"a sequence of 500 tokens needs 0\.5 MiB .* there are 0\.4 MiB"):
        make_plan(400, asked_model_len=500)


def test_more_positions_than_the_model_has_are_refused() -> None:
    with pytest.raises(ModelRefused, match="2000 was asked for, and the model has 1000"):
        make_plan(10_000, asked_model_len=2000)


def test_memory_for_less_than_a_block_is_refused() -> None:
    with pytest.raises(ModelRefused, match="--kv-memory"):
        make_plan(15)


def test_the_default_leaves_most_of_a_machine_to_others() -> None:
    assert kv_budget_bytes(None, 8_000, torch.device("cpu")) == 2_000
    assert kv_budget_bytes(None, -5, torch.device("cpu")) == 0


def test_what_was_asked_for_is_given_or_refused() -> None:
    assert kv_budget_bytes(7 << 20, 8 << 20, torch.device("cpu")) == 7 << 20
    with pytest.raises(ModelRefused, match=r"9\.0 MiB was asked for, and beside the weights cpu has 8\.0 MiB free"):
        kv_budget_bytes(9 << 20, 8 << 20, torch.device("cpu"))


def test_free_memory_is_less_than_a_machine_has() -> None:
    assert 0 < free_bytes(torch.device("cpu")) < 1 << 50
