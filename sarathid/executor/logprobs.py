"""Says how likely tokens were, for the rows that ask, without ever holding a prompt's logits at once."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from sarathi_kernels.sampling import NUMPY_ALONE, DrawKernels
from torch import Tensor

from sarathid.executor.grammar_masks import GrammarMasks
from sarathid.executor.launched_draw import LaunchedDraw
from sarathid.executor.launched_scores import LaunchedPrompt, LaunchedScores
from sarathid.executor.sampler import launch_sampling
from sarathid.executor.staging import send_one
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

    Requests with a grammar are kept to it by `grammars`.
    """
    asking = [row for row, request in enumerate(inputs) if request.params.logprobs is not None]
    rows = send_one(np.array(asking, np.int64), logits.device) if asking else None
    logprobs = None if rows is None else logits[rows].log_softmax(dim=1)  # before anything edits the logits
    for row, request in enumerate(inputs):
        if request.params.grammar is not None:
            assert grammars is not None, "a grammar comes from the tokenizer that it is followed with"
            grammars.forbid(logits[row], request)
    tokens = launch_sampling(logits, inputs, kernels)
    if rows is None or logprobs is None:
        return LaunchedDraw(tokens)
    wanted = [inputs[row].params.logprobs or 0 for row in asking]
    return LaunchedDraw(tokens, asking, LaunchedScores(logprobs, tokens.on(logits.device)[rows], wanted))


def score_prompts(
    sequences: Sequence[ScheduledSequence], hidden: Tensor, logits_of: Callable[[Tensor], Tensor | None]
) -> tuple[LaunchedPrompt, ...]:
    """Launch how likely the prompt tokens behind those of a batch were, for the sequences that ask.

    `hidden` is the residual stream [num_tokens, hidden_size] behind the last layer; `logits_of` gives the logits of
    some rows of it, or None on a rank that only has a part of them.
    """
    found, row = [], 0
    for sequence in sequences:
        if (targets := sequence.prompt_targets) is not None:
            scores = tuple(_score_prompt(targets, hidden[row:], logits_of))
            found.append(LaunchedPrompt(sequence.request_id, sequence.first_position + 1, scores))
        row += sequence.num_tokens
    return tuple(found)


def _score_prompt(
    targets: PromptTargets, hidden: Tensor, logits_of: Callable[[Tensor], Tensor | None]
) -> Iterator[LaunchedScores]:
    for start in range(0, len(targets.token_ids), _ROWS_AT_A_TIME):
        token_ids = np.array(targets.token_ids[start : start + _ROWS_AT_A_TIME], np.int64)
        logits = logits_of(hidden[start : start + len(token_ids)])
        if logits is not None:
            wanted = [targets.num_top] * len(token_ids)
            yield LaunchedScores(logits.log_softmax(dim=1), send_one(token_ids, logits.device), wanted)
