"""Triton: the next token of each row, greedy or drawn, with no sort and no look from the host."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sarathi_kernels.sampling import DrawParameters

_COLUMNS = 4096
_NUM_HALVINGS = tl.constexpr(31)  # of the bits of a float32 between 0 and 1


def draw(logits: Tensor, parameters: DrawParameters) -> tuple[Tensor, Tensor]:
    """Draw as `DrawKernel` says, one program a row."""
    num_rows, vocab_size = logits.shape
    token_ids = torch.empty(num_rows, dtype=torch.int64, device=logits.device)
    is_number = torch.empty(num_rows, dtype=torch.bool, device=logits.device)
    _draw_row[(num_rows,)](
        logits,
        token_ids,
        is_number,
        parameters.temperature,
        parameters.top_k,
        parameters.top_p,
        parameters.min_p,
        parameters.share,
        vocab_size,
        logits.stride(0),
        COLUMNS=_COLUMNS,
    )
    return token_ids, is_number


@triton.jit
def _draw_row(
    logits: tl.tensor,  # [num_rows, vocab_size] float32
    token_ids: tl.tensor,  # [num_rows] int64
    is_number: tl.tensor,  # [num_rows] bool
    temperatures: tl.tensor,
    top_ks: tl.tensor,
    top_ps: tl.tensor,
    min_ps: tl.tensor,
    shares: tl.tensor,
    vocab_size: tl.tensor,
    row_stride: tl.tensor,
    COLUMNS: tl.constexpr,
) -> None:
    row = tl.program_id(0)
    source = logits + row.to(tl.int64) * row_stride
    best, largest, num_nans = _best(source, vocab_size, COLUMNS)
    is_good = (num_nans == 0) & (largest > -float("inf")) & (largest < float("inf"))
    tl.store(is_number + row, is_good)
    token = best
    temperature = tl.load(temperatures + row)
    if is_good & (temperature > 0.0):
        top_k = tl.load(top_ks + row)
        top_p = tl.load(top_ps + row)
        lightest = tl.load(min_ps + row)
        if top_k < vocab_size:
            wanted = top_k.to(tl.float32)
            lightest = tl.maximum(
                lightest,
                _lightest(
                    source, vocab_size, largest, temperature, tl.full([], 0.0, tl.float32), wanted, True, COLUMNS
                ),
            )
        total = _held(source, vocab_size, largest, temperature, lightest, False, COLUMNS)
        if top_p < 1.0:
            lightest = _lightest(source, vocab_size, largest, temperature, lightest, top_p * total, False, COLUMNS)
            total = _held(source, vocab_size, largest, temperature, lightest, False, COLUMNS)
        passed = tl.load(shares + row) * total
        token = _where_passed(source, vocab_size, largest, temperature, lightest, passed, COLUMNS)
    tl.store(token_ids + row, token.to(tl.int64))


@triton.jit
def _best(source: tl.tensor, vocab_size: tl.tensor, COLUMNS: tl.constexpr) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Return the first of the best tokens, its logit, and how many logits are no numbers."""
    best = 0
    largest = -float("inf")
    num_nans = 0
    for first in range(0, vocab_size, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        logit = tl.load(source + column, mask=column < vocab_size, other=-float("inf"))
        num_nans += tl.sum((logit != logit).to(tl.int32))
        logit = tl.where(logit != logit, -float("inf"), logit)
        its_largest = tl.max(logit)
        if its_largest > largest:
            best = first + tl.argmax(logit, 0)
            largest = its_largest
    return best, largest, num_nans


@triton.jit
def _weights(
    source: tl.tensor,
    column: tl.tensor,
    vocab_size: tl.tensor,
    largest: tl.tensor,
    temperature: tl.tensor,
    lightest: tl.tensor,
) -> tl.tensor:
    """Return what the tokens of these columns weigh, the best one 1; those lighter than `lightest` nothing."""
    logit = tl.load(source + column, mask=column < vocab_size, other=-float("inf"))
    weight = tl.exp((logit - largest) / temperature)
    return tl.where(weight >= lightest, weight, 0.0)


@triton.jit
def _held(
    source: tl.tensor,
    vocab_size: tl.tensor,
    largest: tl.tensor,
    temperature: tl.tensor,
    lightest: tl.tensor,
    COUNTS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> tl.tensor:
    """Return what all tokens that are not lighter than `lightest` weigh, or how many they are."""
    held = 0.0
    for first in range(0, vocab_size, COLUMNS):
        weight = _weights(source, first + tl.arange(0, COLUMNS), vocab_size, largest, temperature, lightest)
        if COUNTS:
            held += tl.sum((weight > 0.0).to(tl.float32))
        else:
            held += tl.sum(weight)
    return held


@triton.jit
def _lightest(
    source: tl.tensor,
    vocab_size: tl.tensor,
    largest: tl.tensor,
    temperature: tl.tensor,
    least: tl.tensor,
    wanted: tl.tensor,
    COUNTS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> tl.tensor:
    """Return the largest weight, no less than `least`, such that tokens not lighter hold `wanted`.

    Bits of positive floats are ordered as the floats are, so halving them finds it exactly.
    """
    low = least.to(tl.int32, bitcast=True)
    high = low * 0 + 0x3F800001  # the first float32 above 1
    for _ in range(_NUM_HALVINGS):
        middle = low + (high - low) // 2
        held = _held(source, vocab_size, largest, temperature, middle.to(tl.float32, bitcast=True), COUNTS, COLUMNS)
        low = tl.where(held >= wanted, middle, low)
        high = tl.where(held >= wanted, high, middle)
    return low.to(tl.float32, bitcast=True)


@triton.jit
def _where_passed(
    source: tl.tensor,
    vocab_size: tl.tensor,
    largest: tl.tensor,
    temperature: tl.tensor,
    lightest: tl.tensor,
    passed: tl.tensor,
    COLUMNS: tl.constexpr,
) -> tl.tensor:
    """Return the first token at which the running sum of weights exceeds `passed`, or the last that weighs anything."""
    running = 0.0
    num_behind = 0
    last = 0
    for first in range(0, vocab_size, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        weight = _weights(source, column, vocab_size, largest, temperature, lightest)
        behind = running + tl.cumsum(weight, 0) <= passed
        num_behind += tl.sum((behind & (column < vocab_size)).to(tl.int32))
        last = tl.maximum(last, tl.max(tl.where(weight > 0.0, column, 0)))
        running += tl.sum(weight)
    return tl.minimum(num_behind, last)
