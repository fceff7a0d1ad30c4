"""Our Triton attention, interpreted, against the reference in float64."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from sarathi_kernels.backend import LayerCache
from sarathi_kernels.reference import ReferenceAttention

from tests.kernels.interpreter import HAS_TRITON, triton_interpreter
from tests.kernels.paged import Problem, SequenceShape, forget_before_windows, heads_first, make_problem

if not HAS_TRITON:
    pytest.skip("Triton is not installed", allow_module_level=True)

with triton_interpreter():
    from sarathi_kernels.triton_attention import TritonAttention

MIXED = (
    SequenceShape(1, 1),
    SequenceShape(1, 65),
    SequenceShape(1, 513),
    SequenceShape(5, 5),
    SequenceShape(2, 9),
    SequenceShape(33, 64),
    SequenceShape(20, 100),
)
NUM_DECODES = 3
TOLERANCE = 1e-5


def worst_error(problem: Problem, num_decodes: int = NUM_DECODES) -> float:
    cache = LayerCache(problem.cache.k.double(), problem.cache.v.double())
    expected = ReferenceAttention().attend(problem.q.double(), cache, problem.metadata)
    metadata = replace(problem.metadata, num_decodes=num_decodes)
    found = TritonAttention().attend(problem.q, problem.cache, metadata)
    return float((found - expected).abs().max())  # NaN when a poisoned slot was read


@pytest.mark.parametrize("num_decodes", [0, 2, 3])
def test_decodes_and_chunks_match_wherever_the_line_is_drawn(num_decodes: int) -> None:
    assert worst_error(make_problem(MIXED), num_decodes) < TOLERANCE


@pytest.mark.parametrize("block_size", [16, 17, 64, 256])
def test_block_sizes_match(block_size: int) -> None:
    assert worst_error(make_problem(MIXED[1:5], block_size=block_size), 2) < TOLERANCE


@pytest.mark.parametrize(("num_heads", "num_kv_heads"), [(2, 2), (9, 3), (9, 1), (71, 1)])
def test_groups_match(num_heads: int, num_kv_heads: int) -> None:
    assert worst_error(make_problem(MIXED[1:4:2], num_heads=num_heads, num_kv_heads=num_kv_heads), 1) < TOLERANCE


@pytest.mark.parametrize("head_dim", [80, 96, 128])
def test_head_sizes_match(head_dim: int) -> None:
    assert worst_error(make_problem(MIXED[1:5], head_dim=head_dim), 2) < TOLERANCE


@pytest.mark.parametrize("window", [1, 16, 100, 300, 10_000])
def test_sliding_windows_match(window: int) -> None:
    assert worst_error(make_problem(MIXED, sliding_window=window)) < TOLERANCE


@pytest.mark.parametrize("num_decodes", [0, 3])
def test_positions_before_a_window_are_not_read(num_decodes: int) -> None:
    assert worst_error(forget_before_windows(make_problem(MIXED, sliding_window=16)), num_decodes) < TOLERANCE


@pytest.mark.parametrize(
    ("shapes", "num_decodes"),
    [
        ([SequenceShape(1, 256), SequenceShape(1, 257)], 2),
        ([SequenceShape(1, 700)], 1),
        ([SequenceShape(65, 65)], 0),
        ([SequenceShape(1, 30), SequenceShape(1, 30)], 1),
    ],
    ids=["a whole span and one more", "one long decode", "one past a tile", "a chunk of one token"],
)
def test_edges_match(shapes: Sequence[SequenceShape], num_decodes: int) -> None:
    assert worst_error(make_problem(shapes), num_decodes) < TOLERANCE


def test_half_precision_is_near() -> None:
    assert worst_error(make_problem(MIXED[1:5], dtype=torch.float16), 2) < 2e-3


def test_a_cache_with_heads_before_positions_gives_the_same() -> None:
    assert worst_error(heads_first(make_problem(MIXED[1:5])), 2) < TOLERANCE


def test_queries_may_be_a_view_of_a_wider_tensor() -> None:
    problem = make_problem(MIXED[1:5])
    wider = torch.cat((problem.q, torch.full_like(problem.q, torch.nan)), dim=1)
    assert worst_error(Problem(wider[:, :6], problem.cache, problem.metadata), 2) < TOLERANCE


def test_a_longer_grid_than_the_contexts_need_changes_nothing() -> None:
    """As in a graph that was captured at the longest context."""
    problem = make_problem(MIXED[:2])
    metadata = replace(problem.metadata, num_decodes=2)
    found = TritonAttention().attend(problem.q, problem.cache, metadata)
    longer = TritonAttention().attend(problem.q, problem.cache, replace(metadata, max_context_len=1000))
    assert torch.equal(found, longer)


def test_a_row_does_not_depend_on_its_batch_mates() -> None:
    problem = make_problem(MIXED[:3])
    together = TritonAttention().attend(problem.q, problem.cache, replace(problem.metadata, num_decodes=3))
    for index in range(3):
        alone = problem.only(index)
        found = TritonAttention().attend(alone.q, alone.cache, replace(alone.metadata, num_decodes=1))
        assert torch.equal(found[0], together[index])


@pytest.mark.parametrize("is_heads_first", [False, True])
def test_store_fills_the_slots_and_no_other(is_heads_first: bool) -> None:
    problem = make_problem(MIXED[1:5], num_heads=6, num_kv_heads=3, head_dim=80)
    problem = heads_first(problem) if is_heads_first else problem
    layer, slots = problem.cache, problem.metadata.slot_mapping
    before = layer.k.clone(), layer.v.clone()
    k = torch.randn(len(slots), 5, 80)[:, 1:4]  # views, as the model hands them over
    v = torch.randn(len(slots), 4, 80)[:, :3]
    TritonAttention().store(k, v, layer, problem.metadata)
    for found, was, stored in zip((layer.k, layer.v), before, (k, v), strict=True):
        want = was.reshape(-1, *was.shape[2:])
        want[slots] = stored
        torch.testing.assert_close(found.reshape(want.shape), want, rtol=0, atol=0, equal_nan=True)
