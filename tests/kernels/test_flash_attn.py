"""The arguments that flash-attn gets mean the same problem, as its documentation defines them."""

import sys
from itertools import pairwise

import pytest
import torch
from sarathi_kernels.flash_attn import FlashAttention, find_flash_attn
from sarathi_kernels.probe import BackendUnavailable
from sarathi_kernels.reference import ReferenceAttention, gather
from torch import Tensor

from tests.kernels.paged import SequenceShape, make_problem

MIXED = (SequenceShape(1, 300), SequenceShape(5, 5), SequenceShape(33, 600))


def varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
    block_table: Tensor | None = None,
) -> Tensor:
    """Compute what flash-attn 2.8 documents for `flash_attn_varlen_func`, by loops, and check what it requires."""
    assert block_table is not None and causal and dropout_p == 0.0 and softmax_scale is None
    assert {t.dtype for t in (cu_seqlens_q, cu_seqlens_k, block_table)} == {torch.int32}
    assert k.shape == v.shape and k.shape[1] % 256 == 0 and q.stride(-1) == k.stride(-1) == 1
    lengths_q, lengths_k = cu_seqlens_q.diff().tolist(), cu_seqlens_k.diff().tolist()
    assert (max(lengths_q), max(lengths_k)) == (max_seqlen_q, max_seqlen_k)
    out = torch.empty_like(q)
    for index, (start, end) in enumerate(pairwise(cu_seqlens_q.tolist())):
        keys, values = (gather(cache, block_table[index], lengths_k[index]) for cache in (k, v))
        for row in range(start, end):
            at = lengths_k[index] - end + row  # masks are aligned to the bottom right corner
            first = 0 if window_size[0] < 0 else max(0, at - window_size[0])
            group = q.shape[1] // k.shape[2]
            visible = (
                keys[first : at + 1].repeat_interleave(group, 1),
                values[first : at + 1].repeat_interleave(group, 1),
            )
            weights = (torch.einsum("hd,khd->hk", q[row], visible[0]) * q.shape[2] ** -0.5).softmax(-1)
            out[row] = torch.einsum("hk,khd->hd", weights, visible[1])
    return out


@pytest.mark.parametrize("window", [None, 1, 100, 5000])
@pytest.mark.parametrize("block_size", [256, 512])
def test_it_is_asked_for_what_the_reference_computes(window: int | None, block_size: int) -> None:
    problem = make_problem(MIXED, block_size=block_size, sliding_window=window)
    found = FlashAttention(varlen_func).attend(problem.q, problem.cache, problem.metadata)
    expected = ReferenceAttention().attend(problem.q, problem.cache, problem.metadata)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with pytest.raises(BackendUnavailable, match="flash-attn package can't be imported"):
        find_flash_attn()
