"""Draws each row's next token from its logits, as its own sampling parameters say."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput


def sample(logits: Tensor, inputs: Sequence[SamplingInput]) -> tuple[int | None, ...]:
    """Return one token id for each row of `logits` [num_rows, vocab_size] float32, which may be changed in place.

    None stands for a row whose logits hold a NaN, or whose largest is infinite. A row's token depends
    on nothing but the row, its parameters and the count of tokens before it.
    """
    for row, request in zip(logits, inputs, strict=True):
        if _edits_logits(request.params):
            _edit_logits(row, request)
    best = _argmax(logits)  # a NaN in a row is its maximum
    token_ids: list[int | None] = list(best.tolist())
    for index, best_logit in enumerate(logits.gather(1, best.unsqueeze(1)).flatten().tolist()):
        if not math.isfinite(best_logit):
            token_ids[index] = None
        elif inputs[index].params.temperature > 0.0:
            token_ids[index] = _draw(logits[index], inputs[index])
    return tuple(token_ids)


def _argmax(logits: Tensor) -> Tensor:
    """Return the best token of each row, [num_rows] int64; on CPU by numpy, 0.04 against 0.4 to 4 ms for 8 rows."""
    return torch.from_numpy(logits.numpy().argmax(axis=1)) if logits.device.type == "cpu" else logits.argmax(dim=1)


def _edits_logits(params: SamplingParams) -> bool:
    return params.needs_history or bool(params.logit_bias)


def _edit_logits(logits: Tensor, request: SamplingInput) -> None:
    """Apply penalties and biases to one row [vocab_size] in place.

    The order is that of the APIs they come from: repetition, then presence and frequency, then bias.
    """
    params = request.params
    if params.repetition_penalty != 1.0:
        seen = torch.tensor(sorted({*request.prompt_token_ids, *request.output_token_ids}), device=logits.device)
        scores = logits[seen]
        logits[seen] = torch.where(scores > 0, scores / params.repetition_penalty, scores * params.repetition_penalty)
    if request.output_token_ids and (params.presence_penalty or params.frequency_penalty):
        token_ids, counts = np.unique(request.output_token_ids, return_counts=True)
        penalties = params.presence_penalty + params.frequency_penalty * torch.from_numpy(counts)
        logits[torch.from_numpy(token_ids).to(logits.device)] -= penalties.to(logits)
    if params.logit_bias:
        biased = torch.tensor(list(params.logit_bias), device=logits.device)
        logits[biased] += torch.tensor(list(params.logit_bias.values()), device=logits.device)


def _draw(logits: Tensor, request: SamplingInput) -> int:
    """Return a token of one row [vocab_size] by inverting its cumulative distribution at one uniform number."""
    params = request.params
    scaled = logits.double() / params.temperature
    candidates = torch.topk(scaled, min(params.top_k, len(scaled))).indices if params.top_k else None
    probabilities = (scaled - scaled.max()).exp()
    if candidates is not None:
        probabilities = torch.zeros_like(probabilities).index_copy_(0, candidates, probabilities[candidates])
    kept = _keep_likely(probabilities, params).cpu().numpy()
    cumulative: NDArray[np.float64] = kept.cumsum()
    return int(np.searchsorted(cumulative, _uniform(request) * cumulative[-1], side="right"))


def _keep_likely(weights: Tensor, params: SamplingParams) -> Tensor:
    """Return `weights` [vocab_size] with those zeroed that top-p and min-p exclude; the likeliest always stays.

    top-p (Holtzman et al. 2020) keeps the smallest set of likeliest tokens that holds `top_p` of the
    whole; min-p (Nguyen et al. 2024) those at least `min_p` times as likely as the likeliest.
    """
    if params.min_p > 0.0:
        weights = weights.masked_fill(weights < params.min_p * weights.max(), 0.0)
    if params.top_p < 1.0:
        ordered, order = weights.sort(descending=True)
        before = ordered.cumsum(0) - ordered
        excluded = order[before >= params.top_p * ordered.sum()]
        excluded = excluded[excluded != order[0]]
        weights = weights.index_fill(0, excluded, 0.0)
    return weights


def _uniform(request: SamplingInput) -> float:
    """Return a number in [0, 1) made from (seed, token number) alone (Philox, Salmon et al. 2011)."""
    bits = np.random.Philox(key=request.params.seed, counter=request.num_output_tokens)
    return float(np.random.Generator(bits).random())
