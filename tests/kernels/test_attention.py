"""Every attention backend against the reference in float64, over caches poisoned where nobody may read."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from sarathi_kernels.backend import AttentionBackend, LayerCache
from sarathi_kernels.cpu import CPUAttention
from sarathi_kernels.reference import ReferenceAttention
from sarathi_kernels.torch_sdpa import TorchAttention
from torch import Tensor

from tests.kernels.paged import Problem, SequenceShape, forget_before_windows, heads_first, make_problem

TOLERANCE = 1e-5

MIXED = (
    SequenceShape(1, 1, num_output=1),
    SequenceShape(1, 65, num_output=1),
    SequenceShape(1, 513, num_output=1),
    SequenceShape(1, 70),
    SequenceShape(5, 5),
    SequenceShape(130, 130),
    SequenceShape(2, 9, num_output=2),
    SequenceShape(33, 64),
    SequenceShape(40, 300),
    SequenceShape(40, 530, num_output=30),
)


@pytest.fixture(scope="module", params=["reference", "torch", "cpu"])
def backend(request: pytest.FixtureRequest, kernel_directory: Path) -> AttentionBackend:
    match request.param:
        case "reference":
            return ReferenceAttention()
        case "torch":
            return TorchAttention()
        case _:
            return CPUAttention(kernel_directory)


@pytest.fixture(params=[torch.float32, torch.float16], ids=["floats", "halves"])
def kv_dtype(request: pytest.FixtureRequest) -> torch.dtype:
    dtype: torch.dtype = request.param
    return dtype


def solve(problem: Problem) -> Tensor:
    cache = LayerCache(problem.cache.k.double(), problem.cache.v.double())
    return ReferenceAttention().attend(problem.q.double(), cache, problem.metadata)


@cache
def solved(shapes: tuple[SequenceShape, ...], **how: Any) -> tuple[Problem, Tensor]:
    """Return a problem and its solution, made once for all backends; nobody may change them."""
    problem = make_problem(shapes, **how)
    return problem, solve(problem)


def worst_error(backend: AttentionBackend, problem: Problem, solution: Tensor) -> float:
    found = backend.attend(problem.q, problem.cache, problem.metadata)
    return float((found - solution).abs().max())  # NaN when a poisoned slot was read


@pytest.mark.parametrize("block_size", [1, 16, 17, 256])
@pytest.mark.parametrize(("num_heads", "num_kv_heads"), [(2, 2), (9, 3), (8, 1), (9, 1)])
def test_mixed_batch_matches_the_reference(
    backend: AttentionBackend, kv_dtype: torch.dtype, block_size: int, num_heads: int, num_kv_heads: int
) -> None:
    problem = solved(MIXED, num_heads=num_heads, num_kv_heads=num_kv_heads, block_size=block_size, kv_dtype=kv_dtype)
    assert worst_error(backend, *problem) < TOLERANCE


@pytest.mark.parametrize("head_dim", [64, 80, 96, 128, 256])
def test_head_sizes_match_the_reference(backend: AttentionBackend, kv_dtype: torch.dtype, head_dim: int) -> None:
    assert worst_error(backend, *solved(MIXED, head_dim=head_dim, kv_dtype=kv_dtype)) < TOLERANCE


@pytest.mark.parametrize("window", [1, 16, 100, 512, 10_000])
def test_sliding_window_matches_the_reference(backend: AttentionBackend, kv_dtype: torch.dtype, window: int) -> None:
    assert worst_error(backend, *solved(MIXED, sliding_window=window, kv_dtype=kv_dtype)) < TOLERANCE


@pytest.mark.parametrize("window", [1, 16, 100])
def test_positions_before_a_window_are_not_read(backend: AttentionBackend, kv_dtype: torch.dtype, window: int) -> None:
    problem, solution = solved(MIXED, sliding_window=window, kv_dtype=kv_dtype)
    assert worst_error(backend, forget_before_windows(problem), solution) < TOLERANCE


@pytest.mark.parametrize(
    "shapes",
    [
        [SequenceShape(1, 1, num_output=1)],
        [SequenceShape(1, 1024, num_output=1)],
        [SequenceShape(1, 1025, num_output=1), SequenceShape(1, 2000, num_output=1)],
        [SequenceShape(33, 33)],
        [SequenceShape(300, 300)],
    ],
    ids=["one token", "two whole spans", "ragged spans", "one past a tile", "several tiles"],
)
def test_edges_match_the_reference(
    backend: AttentionBackend, kv_dtype: torch.dtype, shapes: Sequence[SequenceShape]
) -> None:
    assert worst_error(backend, *solved(tuple(shapes), kv_dtype=kv_dtype)) < TOLERANCE


def test_cache_with_heads_before_positions_gives_the_same(backend: AttentionBackend) -> None:
    problem, solution = solved(MIXED)
    assert worst_error(backend, heads_first(problem), solution) < TOLERANCE


def test_queries_may_be_a_view_of_a_wider_tensor(backend: AttentionBackend) -> None:
    problem, solution = solved(MIXED)
    wider = torch.cat((problem.q, torch.full_like(problem.q, torch.nan)), dim=1)
    view = Problem(wider[:, :6], problem.cache, problem.metadata)
    assert worst_error(backend, view, solution) < TOLERANCE


def test_large_scores_do_not_overflow(backend: AttentionBackend) -> None:
    problem = make_problem(MIXED)
    problem.q.mul_(100.0)
    assert worst_error(backend, problem, solve(problem)) < 1e-4


def test_nan_in_a_sequence_stays_in_that_sequence(backend: AttentionBackend) -> None:
    problem = make_problem([SequenceShape(1, 40), SequenceShape(20, 40), SequenceShape(1, 40)])
    problem.q[1:21] = torch.nan
    found = backend.attend(problem.q, problem.cache, problem.metadata)
    assert found[1:21].isnan().all()
    assert not found[[0, 21]].isnan().any()


@pytest.mark.parametrize("is_heads_first", [False, True])
def test_store_fills_the_slots_and_no_other(
    backend: AttentionBackend, kv_dtype: torch.dtype, is_heads_first: bool
) -> None:
    problem = make_problem(MIXED, kv_dtype=kv_dtype)
    problem = heads_first(problem) if is_heads_first else problem
    layer, slots = problem.cache, problem.metadata.slot_mapping
    before = layer.k.clone(), layer.v.clone()
    k = torch.randn(len(slots), 4, 64)[:, 1:3]  # views, as the model hands them over
    v = torch.randn(len(slots), 3, 64)[:, :2]
    backend.store(k, v, layer, problem.metadata)
    for found, was, stored in zip((layer.k, layer.v), before, (k, v), strict=True):
        want = was.reshape(-1, *was.shape[2:])
        want[slots] = stored.to(kv_dtype)
        torch.testing.assert_close(found.reshape(want.shape), want, rtol=0, atol=0, equal_nan=True)


def test_what_halves_can_not_hold_is_stored_as_the_largest(backend: AttentionBackend) -> None:
    problem = make_problem([SequenceShape(2, 2)], num_kv_heads=2, kv_dtype=torch.float16)
    numbers = torch.tensor([1e30, -1e30, 65_520.0, torch.inf, -torch.inf, 1e-30, 1.0, torch.nan]).repeat(32)
    k = v = numbers.view(2, 2, 64)
    backend.store(k, v, problem.cache, problem.metadata)
    slots = problem.metadata.slot_mapping
    want = torch.tensor([65_504.0, -65_504.0, 65_504.0, 65_504.0, -65_504.0, 0.0, 1.0, torch.nan]).repeat(32)
    for stored in (problem.cache.k, problem.cache.v):
        found = stored.flatten(0, 1)[slots].float()
        torch.testing.assert_close(found, want.view(2, 2, 64), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("num_threads", [1, 2])
def test_cpu_rows_do_not_depend_on_batch_mates_or_threads(
    kernel_directory: Path, kv_dtype: torch.dtype, num_threads: int
) -> None:
    backend = CPUAttention(kernel_directory)
    problem = make_problem(MIXED, kv_dtype=kv_dtype)
    whole = backend.attend(problem.q, problem.cache, problem.metadata)
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        for index in range(len(MIXED)):
            alone = problem.only(index)
            start = int(problem.metadata.query_start[index])
            found = backend.attend(alone.q, alone.cache, alone.metadata)
            assert torch.equal(found, whole[start : start + len(found)])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("window", [None, 100])
@pytest.mark.parametrize("num_cut", [1, 2, 33, 199, 230, 250, 289, 299])
def test_cpu_rows_do_not_depend_on_where_a_sequence_is_cut(
    kernel_directory: Path, kv_dtype: torch.dtype, num_cut: int, window: int | None
) -> None:
    backend = CPUAttention(kernel_directory)
    num_prompt, num_tokens = 200, 300
    problem = make_problem(
        [SequenceShape(num_tokens, 800, num_tokens - num_prompt)], sliding_window=window, kv_dtype=kv_dtype
    )
    whole = backend.attend(problem.q, problem.cache, problem.metadata)
    parts = []
    for first, end in ((0, num_cut), (num_cut, num_tokens)):
        metadata = replace(
            problem.metadata,
            query_start=torch.tensor([0, end - first], dtype=torch.int32),
            context_lens=problem.metadata.context_lens - (num_tokens - end),
            num_output_queries=torch.tensor([max(0, end - max(first, num_prompt))], dtype=torch.int32),
        )
        parts.append(backend.attend(problem.q[first:end], problem.cache, metadata))
    assert torch.equal(torch.cat(parts), whole)
