"""The arguments that flash-attn-4 gets mean the same problem, as its interface reads them."""

import sys
from itertools import pairwise
from typing import Any

import pytest
import torch
from sarathi_kernels.flash_attn_4 import FlashAttention4, find_flash_attn_4
from sarathi_kernels.probe import BackendUnavailable, check, make_probe
from sarathi_kernels.reference import ReferenceAttention, gather
from torch import Tensor

from tests.kernels.paged import SequenceShape, make_problem

MIXED = (SequenceShape(1, 300), SequenceShape(5, 5), SequenceShape(33, 600))


def varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor | None = None,
    cu_seqlens_k: Tensor | None = None,
    max_seqlen_q: int | None = None,
    max_seqlen_k: int | None = None,
    seqused_q: Tensor | None = None,
    seqused_k: Tensor | None = None,
    page_table: Tensor | None = None,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int | None, int | None] = (None, None),
    learnable_sink: Tensor | None = None,
    softcap: float = 0.0,
    num_splits: int = 1,
    pack_gqa: bool | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Compute what flash-attn-4's `flash_attn_varlen_func` does with pages, by loops, and assert what it asserts."""
    assert cu_seqlens_k is None, "page_table is not supported with cu_seqlens_k"
    assert cu_seqlens_q is not None and seqused_k is not None and page_table is not None
    assert all(given is None for given in (seqused_q, softmax_scale, learnable_sink, pack_gqa))
    assert not others and num_splits == 1
    assert {t.dtype for t in (cu_seqlens_q, seqused_k, page_table)} == {torch.int32}
    assert page_table.stride(-1) == cu_seqlens_q.stride(0) == seqused_k.stride(0) == 1
    assert page_table.shape[0] == len(seqused_k) == len(cu_seqlens_q) - 1
    assert k.shape == v.shape and k.shape[1] % 128 == 0 and q.stride(-1) == k.stride(-1) == 1
    left, right = window_size
    assert causal and right in (None, 0) and (left is None or left >= 0)
    lengths_k = seqused_k.tolist()
    assert (int(cu_seqlens_q.diff().max()), max(lengths_k)) == (max_seqlen_q, max_seqlen_k)
    out, group = torch.empty_like(q), q.shape[1] // k.shape[2]
    for index, (start, end) in enumerate(pairwise(cu_seqlens_q.tolist())):
        keys, values = (gather(cache, page_table[index], lengths_k[index]) for cache in (k, v))
        for row in range(start, end):
            at = lengths_k[index] - end + row  # masks are aligned to the bottom right corner
            seen = slice(0 if left is None else max(0, at - left), at + 1)
            scores = torch.einsum("hd,khd->hk", q[row], keys[seen].repeat_interleave(group, 1)) * q.shape[2] ** -0.5
            out[row] = torch.einsum("hk,khd->hd", scores.softmax(-1), values[seen].repeat_interleave(group, 1))
    return out, None


@pytest.mark.parametrize("window", [None, 1, 100, 5000])
@pytest.mark.parametrize("block_size", [128, 256])
def test_it_is_asked_for_what_the_reference_computes(window: int | None, block_size: int) -> None:
    problem = make_problem(MIXED, block_size=block_size, sliding_window=window)
    found = FlashAttention4(varlen_func).attend(problem.q, problem.cache, problem.metadata)
    expected = ReferenceAttention().attend(problem.q, problem.cache, problem.metadata)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_blocks_that_it_does_not_take_make_it_unavailable() -> None:
    probe = make_probe(torch.device("cpu"), torch.float32, 64, 16)
    with pytest.raises(BackendUnavailable, match="flash-attn-4 refuses blocks of 16"):
        check(FlashAttention4(varlen_func), probe)


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flash_attn.cute", None)
    with pytest.raises(BackendUnavailable, match="flash-attn-4 package can't be imported"):
        find_flash_attn_4()
