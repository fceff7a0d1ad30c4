"""How likely tokens were, against the definition."""

from typing import Any

import pytest
import torch
from sarathi_kernels.sampling import DrawKernels, DrawParameters

from sarathid.executor.logprobs import draw, launch_draw, score_prompts
from sarathid.protocol.logprobs import LEAST_LOGPROB
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import PromptTargets, SamplingInput, ScheduledSequence
from tests.executor.no_waits import META, NoWaits

VOCAB_SIZE = 40


def greedy(logprobs: int | None, **params: Any) -> SamplingInput:
    return SamplingInput(params=SamplingParams(temperature=0.0, logprobs=logprobs, **params), num_output_tokens=0)


def test_rows_that_ask_are_told_and_others_are_not() -> None:
    logits = torch.randn(3, VOCAB_SIZE, generator=torch.Generator().manual_seed(1))
    expected = logits.log_softmax(dim=1)
    drawn = draw(logits.clone(), [greedy(2), greedy(None), greedy(0)])
    told, silent, alone = drawn.logprobs
    assert drawn.token_ids == tuple(logits.argmax(dim=1).tolist())
    assert told is not None and alone is not None and silent is None
    assert told.top_token_ids == tuple(expected[0].topk(2).indices.tolist())
    assert told.top_logprobs == pytest.approx(expected[0].topk(2).values.tolist())
    assert told.logprob == told.top_logprobs[0]
    assert alone.logprob == pytest.approx(float(expected[2].max()))
    assert alone.top_token_ids == ()


def test_they_are_the_models_own_whatever_biases_do() -> None:
    logits = torch.zeros(1, VOCAB_SIZE)
    logits[0, 3] = 5.0
    drawn = draw(logits.clone(), [greedy(1, logit_bias={3: -100.0})])
    (told,) = drawn.logprobs
    assert told is not None
    assert drawn.token_ids != (3,)
    assert told.top_token_ids == (3,)
    assert told.logprob == pytest.approx(float(logits.log_softmax(1)[0, 0]))


def test_a_row_without_numbers_tells_nothing() -> None:
    assert draw(torch.full((1, VOCAB_SIZE), torch.nan), [greedy(1)]).logprobs == (None,)


def test_what_cannot_be_has_a_number_all_the_same() -> None:
    logits = torch.full((1, VOCAB_SIZE), -torch.inf)
    logits[0, 7] = 0.0
    (told,) = draw(logits, [greedy(2)]).logprobs
    assert told is not None
    assert told.top_logprobs == (0.0, LEAST_LOGPROB)


def sequence(request_id: int, token_ids: tuple[int, ...], targets: tuple[int, ...] | None) -> ScheduledSequence:
    return ScheduledSequence(
        request_id=request_id,
        token_ids=token_ids,
        first_position=5,
        block_ids=(0,),
        sampling=None,
        prompt_targets=None if targets is None else PromptTargets(targets, 1),
    )


def test_long_prompts_are_scored_in_slices_of_bounded_size() -> None:
    num_tokens = 150
    hidden = torch.randn(4 + num_tokens, VOCAB_SIZE, generator=torch.Generator().manual_seed(1))
    targets = tuple(index % VOCAB_SIZE for index in range(num_tokens - 1))
    asked: list[int] = []

    def logits_of(rows: torch.Tensor) -> torch.Tensor:
        asked.append(len(rows))
        return rows

    silent, told = sequence(1, (0,) * 4, None), sequence(2, (0,) * num_tokens, targets)
    (found,) = [prompt.read() for prompt in score_prompts((silent, told), hidden, logits_of)]
    expected = hidden[4:-1].log_softmax(dim=1)
    assert (found.request_id, found.first_position) == (2, 6)
    assert [token.logprob for token in found.tokens] == pytest.approx(
        [float(expected[row, token_id]) for row, token_id in enumerate(targets)]
    )
    assert sum(asked) == num_tokens - 1
    assert max(asked) <= 64


def test_the_host_does_not_wait_for_a_device_that_says_how_likely_tokens_are() -> None:
    def draw_on_device(logits: torch.Tensor, parameters: DrawParameters) -> tuple[torch.Tensor, torch.Tensor]:
        return logits.argmax(dim=1), logits.isfinite().all(dim=1)

    rows = torch.empty(3, VOCAB_SIZE, device=META)
    with NoWaits():
        launched = launch_draw(rows, [greedy(2), greedy(None), greedy(0)], DrawKernels(device=draw_on_device))
        prompts = score_prompts((sequence(1, (0,) * 3, (1, 2)),), rows, lambda rows: rows)
    assert (launched.scored_rows, len(prompts)) == ([0, 2], 1)
