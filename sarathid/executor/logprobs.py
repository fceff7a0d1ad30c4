"""Says how likely tokens were, for the rows that ask, without ever holding a prompt's logits at once."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from sarathi_kernels.sampling import NUMPY_ALONE, DrawKernels
from torch import Tensor

from sarathid.executor.grammar_masks import GrammarMasks
from sarathid.executor.launched_draw import LaunchedDraw
from sarathid.executor.sampler import launch_sampling
from sarathid.protocol.logprobs import LEAST_LOGPROB, PromptLogprobs, TokenLogprobs
from sarathid.scheduler.batch import Drawn, PromptTargets, SamplingInput, ScheduledSequence

_ROWS_AT_A_TIME = 64  # of a vocabulary of 128 k: 32 MiB of logits


def draw(
    logits: Tensor,
    inputs: Sequence[SamplingInput],
    kernels: DrawKernels = NUMPY_ALONE,
    grammars: GrammarMasks | None = None,
) -> Drawn:
    """Return what `launch_draw` gives."""
    return launch_draw(logits, inputs, kernels, grammars).read()


def launch_draw(
    logits: Tensor,
    inputs: Sequence[SamplingInput],
    kernels: DrawKernels = NUMPY_ALONE,
    grammars: GrammarMasks | None = None,
) -> LaunchedDraw:
    """Draw from `logits` [num_rows, vocab_size] float32 as `launch_sampling` does, and say how likely where asked.

    Requests with a grammar are kept to it by `grammars`. Who asks how likely a token was has everybody wait for it.
    """
    asking = [row for row, request in enumerate(inputs) if request.params.logprobs is not None]
    logprobs = logits[asking].log_softmax(dim=1) if asking else None  # before anything edits the logits
    for row, request in enumerate(inputs):
        if request.params.grammar is not None:
            assert grammars is not None, "a grammar comes from the tokenizer that it is followed with"
            grammars.forbid(logits[row], request)
    tokens = launch_sampling(logits, inputs, kernels)
    if logprobs is None:
        return LaunchedDraw(tokens)
    token_ids = tokens.read()
    wanted = [inputs[row].params.logprobs or 0 for row in asking]
    scored = dict(zip(asking, _score(logprobs, [token_ids[row] or 0 for row in asking], wanted), strict=True))
    return LaunchedDraw(
        tokens, tuple(None if token_id is None else scored.get(row) for row, token_id in enumerate(token_ids))
    )


def score_prompts(
    sequences: Sequence[ScheduledSequence], hidden: Tensor, logits_of: Callable[[Tensor], Tensor | None]
) -> tuple[PromptLogprobs, ...]:
    """Return how likely the prompt tokens behind those of a batch were, for the sequences that ask.

    `hidden` is the residual stream [num_tokens, hidden_size] behind the last layer; `logits_of` gives the logits of
    some rows of it, or None on a rank that only has a part of them.
    """
    found, row = [], 0
    for sequence in sequences:
        if (targets := sequence.prompt_targets) is not None:
            tokens = tuple(_score_prompt(targets, hidden[row:], logits_of))
            found.append(PromptLogprobs(sequence.request_id, sequence.first_position + 1, tokens))
        row += sequence.num_tokens
    return tuple(found)


def _score_prompt(
    targets: PromptTargets, hidden: Tensor, logits_of: Callable[[Tensor], Tensor | None]
) -> Iterator[TokenLogprobs]:
    for start in range(0, len(targets.token_ids), _ROWS_AT_A_TIME):
        token_ids = targets.token_ids[start : start + _ROWS_AT_A_TIME]
        logits = logits_of(hidden[start : start + len(token_ids)])
        if logits is not None:
            yield from _score(logits.log_softmax(dim=1), token_ids, [targets.num_top] * len(token_ids))


def _score(logprobs: Tensor, token_ids: Sequence[int], num_top: Sequence[int]) -> list[TokenLogprobs]:
    """Return each row's token with as many of the row's likeliest as it wants."""
    own = logprobs.gather(1, torch.tensor(token_ids, device=logprobs.device).unsqueeze(1)).flatten()
    top = logprobs.topk(min(max(num_top), logprobs.shape[1]), dim=1)
    rows = zip(_finite(own), num_top, top.indices.tolist(), _finite(top.values), strict=True)
    return [
        TokenLogprobs(logprob, tuple(ids[:wanted]), tuple(values[:wanted])) for logprob, wanted, ids, values in rows
    ]


def _finite(logprobs: Tensor) -> Any:
    """Return the numbers in lists of the tensor's shape, with a number of JSON's for what is none."""
    return logprobs.nan_to_num(LEAST_LOGPROB).clamp(min=LEAST_LOGPROB).tolist()
