"""Draws each row's next token from its logits, as its own sampling parameters say."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from sarathi_kernels.largest import IndexRow, argmax, first_largest
from sarathi_kernels.sampling import NUMPY_ALONE, DrawKernel, DrawKernels, DrawParameters, HostDrawKernel
from torch import Tensor

from sarathid.executor.launched_draw import SampledTokens, TokensOnDevice, TokensOnHost
from sarathid.executor.staging import send, send_one
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput

FloatRow: TypeAlias = NDArray[np.float32]  # [vocab_size]

_FIRST_NUCLEUS = 64
_SUM_BLOCK = 256


def sample(
    logits: Tensor, inputs: Sequence[SamplingInput], kernels: DrawKernels = NUMPY_ALONE
) -> tuple[int | None, ...]:
    """Return the tokens that `launch_sampling` draws."""
    return launch_sampling(logits, inputs, kernels).read()


def launch_sampling(
    logits: Tensor, inputs: Sequence[SamplingInput], kernels: DrawKernels = NUMPY_ALONE
) -> SampledTokens:
    """Draw one token id for each row of `logits` [num_rows, vocab_size] float32, which may be changed in place.

    None stands for a row whose logits hold a NaN, or whose largest is infinite. A row's token depends
    on nothing but the row, its parameters and the count of tokens before it. A kernel of the device draws where
    the logits lie; without it they come to the host. By other kernels the same seed may draw another token.
    """
    for row, request in enumerate(inputs):
        if edits_logits(request):
            _edit_logits(logits[row], request)
    if kernels.device is not None:
        return _sample_by_kernel(logits, inputs, kernels.device)
    return TokensOnHost(_sample_on_host(logits, inputs, kernels.host))


def _sample_by_kernel(logits: Tensor, inputs: Sequence[SamplingInput], draw_kernel: DrawKernel) -> TokensOnDevice:
    """Draw all rows at once; what comes back to the host is two numbers a row."""
    params = [request.params for request in inputs]
    vocab_size = logits.shape[1]
    sent = send(
        {
            "temperature": np.array([p.temperature for p in params], np.float32),
            "top_k": np.array([vocab_size if p.top_k is None else p.top_k for p in params], np.int32),
            "top_p": np.array([p.top_p for p in params], np.float32),
            "min_p": np.array([p.min_p for p in params], np.float32),
            "share": np.array([0.0 if r.params.is_greedy else _uniform(r) for r in inputs], np.float32),
        },
        logits.device,
    )
    return TokensOnDevice(*draw_kernel(logits, DrawParameters(**sent)))


def _sample_on_host(logits: Tensor, inputs: Sequence[SamplingInput], kernel: HostDrawKernel | None) -> list[int | None]:
    best = argmax(logits)  # a NaN in a row is its maximum
    largest = logits.gather(1, best.unsqueeze(1)).flatten()
    token_ids = [
        token_id if math.isfinite(logit) else None
        for token_id, logit in zip(best.tolist(), largest.tolist(), strict=True)
    ]
    drawn = [row for row, token in enumerate(token_ids) if token is not None and not inputs[row].params.is_greedy]
    if kernel is not None and drawn:
        free = [row for row in drawn if _may_be_any(inputs[row].params)]
        for row, token_id in zip(free, _draw_free(logits, free, largest, inputs, kernel), strict=True):
            token_ids[row] = token_id
        drawn = [row for row in drawn if not _may_be_any(inputs[row].params)]
    if drawn:
        for row, values in zip(drawn, logits[drawn].cpu().numpy(), strict=True):
            token_ids[row] = _draw(values, inputs[row])
    return token_ids


def _draw_free(
    logits: Tensor, rows: Sequence[int], largest: Tensor, inputs: Sequence[SamplingInput], kernel: HostDrawKernel
) -> list[int]:
    """Return tokens of rows whose token may be any, from logits [num_rows, vocab_size] with `largest` [num_rows]."""
    chosen = torch.tensor(rows, dtype=torch.int64)
    temperature = torch.tensor([inputs[row].params.temperature for row in rows], dtype=torch.float32)
    share = torch.tensor([_uniform(inputs[row]) for row in rows], dtype=torch.float64)
    token_ids: list[int] = kernel(logits, chosen, largest[chosen], temperature, share).tolist()
    return token_ids


def edits_logits(request: SamplingInput) -> bool:
    """Whether a row's logits are changed before its token is drawn."""
    return request.params.needs_history or bool(request.params.logit_bias or request.banned_token_ids)


def _edit_logits(logits: Tensor, request: SamplingInput) -> None:
    """Apply penalties and biases to one row [vocab_size] in place.

    The order is that of the APIs they come from: repetition, then presence and frequency, then bias, then bans.
    """
    params, device = request.params, logits.device
    if params.repetition_penalty != 1.0:
        seen = send_one(np.unique((*request.prompt_token_ids, *request.output_token_ids)), device)
        scores = logits[seen]
        logits[seen] = torch.where(scores > 0, scores / params.repetition_penalty, scores * params.repetition_penalty)
    if request.output_token_ids and (params.presence_penalty or params.frequency_penalty):
        token_ids, counts = np.unique(request.output_token_ids, return_counts=True)
        penalties = np.float32(params.presence_penalty) + np.float32(params.frequency_penalty) * counts
        logits[send_one(token_ids, device)] -= send_one(penalties.astype(np.float32), device)
    if params.logit_bias:
        biased = send_one(np.array(list(params.logit_bias), np.int64), device)
        logits[biased] += send_one(np.array(list(params.logit_bias.values()), np.float32), device)
    if request.banned_token_ids:
        logits[send_one(np.array(request.banned_token_ids, np.int64), device)] = -math.inf


def _draw(logits: FloatRow, request: SamplingInput) -> int:
    """Return a token of one row by inverting its cumulative distribution at one uniform number."""
    params = request.params
    weights = np.exp((logits - logits.max()) / params.temperature)
    share = _uniform(request)
    if _may_be_any(params):
        return _index_at(weights, share)
    tokens = _candidates(logits, weights, params)
    return int(tokens[_index_at(weights[tokens], share)])


def _may_be_any(params: SamplingParams) -> bool:
    return params.top_k is None and params.min_p == 0.0 and params.top_p == 1.0


def _candidates(logits: FloatRow, weights: FloatRow, params: SamplingParams) -> IndexRow:
    """Return the tokens that may be drawn: top-k, of those min-p (Nguyen et al. 2024), of those top-p.

    The top-k are those of the logits, of equal ones the first: weights are equal where logits are not.
    """
    tokens = np.arange(len(weights)) if params.top_k is None else first_largest(logits, params.top_k)
    if params.min_p > 0.0:
        tokens = tokens[weights[tokens] >= params.min_p * weights.max()]
    if params.top_p < 1.0:
        tokens = tokens[_nucleus(weights[tokens], params.top_p)]
    return tokens


def _index_at(weights: FloatRow, share: float) -> int:
    """Return where the running sum of `weights` passes `share` (in [0, 1)) of the whole.

    Blocks are summed first: a running sum over all of 49,152 weights takes 15 times as long.
    """
    sums = np.add.reduceat(weights, np.arange(0, len(weights), _SUM_BLOCK), dtype=np.float64).cumsum()
    passed = share * sums[-1]
    block = int(np.searchsorted(sums, passed, side="right"))
    inside = weights[block * _SUM_BLOCK : (block + 1) * _SUM_BLOCK]
    before = sums[block - 1] if block else 0.0
    index = int(np.searchsorted(before + inside.cumsum(dtype=np.float64), passed, side="right"))
    return block * _SUM_BLOCK + min(index, int(inside.nonzero()[0][-1]))  # two orders of summing may disagree


def _nucleus(weights: FloatRow, top_p: float) -> IndexRow:
    """Return where the fewest of the largest weights are that hold `top_p` of the whole (Holtzman et al. 2020).

    They are sought among ever more of the largest: a whole vocabulary is seldom worth sorting.
    """
    wanted = top_p * weights.sum(dtype=np.float64)
    count = _FIRST_NUCLEUS
    while True:
        largest = first_largest(weights, count)
        held = weights[largest].cumsum(dtype=np.float64)
        if held[-1] >= wanted or count >= len(weights):
            return largest[: np.searchsorted(held, wanted, side="left") + 1]
        count *= 8


def _uniform(request: SamplingInput) -> float:
    """Return a number in [0, 1) made from (seed, token number) alone (Philox, Salmon et al. 2011)."""
    bits = np.random.Philox(key=request.params.seed, counter=request.num_output_tokens)
    return float(np.random.Generator(bits).random())
