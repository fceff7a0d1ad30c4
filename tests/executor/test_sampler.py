"""Tokens are drawn as the parameters say, and by nothing else."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from sarathi_kernels.host_draw import CompiledDraw
from sarathi_kernels.sampling import DrawKernels, DrawParameters

from sarathid.executor.sampler import launch_sampling, sample
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput
from tests.executor.no_waits import META, NoWaits
from tests.kernels.interpreter import HAS_TRITON, triton_interpreter

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


def make_input(
    num_output_tokens: int = 0, prompt: tuple[int, ...] = (), output: tuple[int, ...] = (), **params: Any
) -> SamplingInput:
    return SamplingInput(
        params=SamplingParams(**params),
        num_output_tokens=num_output_tokens,
        prompt_token_ids=prompt,
        output_token_ids=output,
    )


def draw_many(num_draws: int, logits: torch.Tensor = LOGITS, **params: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return how often each token was drawn, as a share, over as many token numbers."""
    inputs = [make_input(index, **params) for index in range(num_draws)]
    drawn = sample(logits.repeat(num_draws, 1), inputs)
    return np.bincount([token for token in drawn if token is not None], minlength=len(logits)) / num_draws


def test_greedy_takes_the_best() -> None:
    rows = torch.stack((LOGITS, LOGITS.flip(0)))
    assert sample(rows, [make_input(temperature=0.0)] * 2) == (0, 5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_distribution(temperature: float) -> None:
    expected = (LOGITS / temperature).softmax(0).numpy()
    assert np.abs(draw_many(4000, temperature=temperature) - expected).max() < 0.03


def test_a_token_depends_on_seed_and_number_alone() -> None:
    rows = torch.randn(3, 100)
    mates = [make_input(5, seed=1), make_input(9, seed=2, top_k=3), make_input(0, temperature=0.0)]
    together = sample(rows.clone(), mates)
    alone = tuple(sample(row.clone()[None], [mate])[0] for row, mate in zip(rows, mates, strict=True))
    assert together == alone


def test_seeds_and_token_numbers_give_different_draws() -> None:
    flat = torch.zeros(1, 10_000)
    drawn = {
        sample(flat.clone(), [make_input(number, seed=seed)]) for number in range(10) for seed in (0, 1, 2**63 - 1)
    }
    assert len(drawn) == 30


@pytest.mark.parametrize(("top_k", "allowed"), [(1, {0}), (3, {0, 1, 2}), (100, {0, 1, 2, 3, 4, 5})])
def test_top_k_keeps_the_k_best(top_k: int, allowed: set[int]) -> None:
    shares = draw_many(2000, temperature=3.0, top_k=top_k)
    assert set(np.flatnonzero(shares)) == allowed


@pytest.mark.parametrize(
    ("top_p", "allowed"), [(0.5, {0}), (0.51, {0, 1}), (0.75, {0, 1}), (0.76, {0, 1, 2}), (1e-9, {0})]
)
def test_top_p_keeps_the_smallest_set_that_holds_p(top_p: float, allowed: set[int]) -> None:
    logits = torch.tensor([0.5, 0.25, 0.15, 0.1]).log()
    assert set(np.flatnonzero(draw_many(500, logits, top_p=top_p))) == allowed


@pytest.mark.parametrize(("min_p", "allowed"), [(1.0, {0}), (0.5, {0, 1}), (0.29, {0, 1, 2}), (0.0, {0, 1, 2, 3})])
def test_min_p_keeps_what_is_likely_enough(min_p: float, allowed: set[int]) -> None:
    logits = torch.tensor([0.5, 0.25001, 0.15, 0.1]).log()
    assert set(np.flatnonzero(draw_many(500, logits, min_p=min_p))) == allowed


def test_top_k_comes_before_top_p() -> None:
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    # Of the two kept by top-k the best holds 4/7 > 0.55 of what is left, so it stands alone.
    assert set(np.flatnonzero(draw_many(300, logits, top_k=2, top_p=0.55))) == {0}


def test_penalties_follow_their_formulas() -> None:
    prompt, output = (0, 4), (1, 1, 2)
    params = {"temperature": 0.0, "repetition_penalty": 1.5, "presence_penalty": 0.25, "frequency_penalty": 0.5}
    expected = LOGITS.tolist()
    for token in {*prompt, *output}:
        expected[token] = expected[token] / 1.5 if expected[token] > 0 else expected[token] * 1.5
    for token in set(output):
        expected[token] -= 0.25 + 0.5 * output.count(token)
    rows = LOGITS.clone()[None]
    assert sample(rows, [make_input(3, prompt, output, **params)]) == (int(np.argmax(expected)),)
    torch.testing.assert_close(rows[0], torch.tensor(expected))


def test_logit_bias_moves_the_choice() -> None:
    assert sample(LOGITS.clone()[None], [make_input(temperature=0.0, logit_bias={5: 100.0, 0: -100.0})]) == (5,)


def test_a_banned_token_is_not_drawn() -> None:
    banned = SamplingInput(params=SamplingParams(temperature=0.0), num_output_tokens=0, banned_token_ids=(0, 1))
    assert sample(LOGITS.clone()[None], [banned]) == (2,)


def test_edits_leave_batch_mates_alone() -> None:
    rows = LOGITS.repeat(2, 1)
    sample(rows, [make_input(temperature=0.0, logit_bias={0: -100.0}), make_input(temperature=0.0)])
    assert torch.equal(rows[1], LOGITS)


def test_a_row_without_numbers_gives_none() -> None:
    rows = LOGITS.repeat(5, 1)
    rows[1, 2] = torch.nan
    rows[2, 5] = torch.inf
    rows[3] = -torch.inf
    inputs = [make_input(temperature=temperature) for temperature in (0.0, 1.0, 0.0, 1.0, 0.0)]
    assert sample(rows, inputs) == (0, None, None, None, 0)


def test_a_token_of_no_weight_is_never_drawn() -> None:
    assert draw_many(200, torch.tensor([-torch.inf, 0.0, 0.0]))[0] == 0.0


def test_a_tiny_temperature_is_nearly_greedy() -> None:
    assert draw_many(50, temperature=1e-6)[0] == 1.0


def test_draws_from_a_large_vocabulary_follow_the_distribution() -> None:
    logits = torch.full((5000,), -100.0)
    logits[[3, 255, 256, 2000, 4999]] = torch.tensor([0.1, 0.2, 0.3, 0.25, 0.15]).log()
    shares = draw_many(3000, logits)
    assert np.abs(shares[[3, 255, 256, 2000, 4999]] - [0.1, 0.2, 0.3, 0.25, 0.15]).max() < 0.04


def test_a_wide_nucleus_is_found_whole() -> None:
    logits = torch.zeros(1000)
    logits[500:] = -0.1
    shares = draw_many(2000, logits, top_p=0.5)
    kept = 0.5 * (500 + 500 * np.exp(-0.1))
    assert shares[500:].sum() == 0.0
    assert np.count_nonzero(shares) <= np.ceil(kept)
    assert np.count_nonzero(shares) > 0.9 * kept


@pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")
def test_a_kernel_draws_what_the_host_draws_where_both_keep_the_vocabularys_order() -> None:
    with triton_interpreter():
        from sarathi_kernels.triton_sampling import draw  # deferred: defined under the interpreter
    rows = torch.randn(4, 300, generator=torch.Generator().manual_seed(0))
    rows[3, 7] = torch.nan
    inputs = [
        make_input(temperature=0.0),
        make_input(4, seed=3, temperature=0.8),
        make_input(2, (5,), (9,), seed=1, min_p=0.05, logit_bias={5: 3.0}, repetition_penalty=1.3),
        make_input(0),
    ]
    drawn = sample(rows.clone(), inputs, DrawKernels(device=draw))
    assert drawn == sample(rows.clone(), inputs)
    assert drawn[0] is not None and drawn[3] is None


def test_a_kernel_is_told_each_rows_parameters() -> None:
    told: list[DrawParameters] = []

    def draw(logits: torch.Tensor, parameters: DrawParameters) -> tuple[torch.Tensor, torch.Tensor]:
        told.append(parameters)
        return logits.argmax(1), torch.tensor([True, False])

    inputs = [make_input(temperature=0.5, top_k=3, top_p=0.9, min_p=0.1, seed=5), make_input(temperature=0.0)]
    assert sample(LOGITS.repeat(2, 1), inputs, DrawKernels(device=draw)) == (0, None)
    (parameters,) = told
    assert parameters.temperature.tolist() == [0.5, 0.0]
    assert parameters.top_k.tolist() == [3, len(LOGITS)]
    assert parameters.top_p.tolist() == pytest.approx([0.9, 1.0])
    assert parameters.min_p.tolist() == pytest.approx([0.1, 0.0])
    assert ((parameters.share >= 0.0) & (parameters.share < 1.0)).all()


def test_the_hosts_kernel_draws_what_numpy_draws(tmp_path: Path) -> None:
    logits = 2.0 * torch.randn(60, 5000, generator=torch.Generator().manual_seed(3))
    logits[7, 3] = torch.nan
    kinds: list[dict[str, Any]] = [{}, {"temperature": 0.0}, {"temperature": 0.3}, {"top_p": 0.9}, {"top_k": 5}]
    inputs = [make_input(row, seed=row, **kinds[row % len(kinds)]) for row in range(len(logits))]
    compiled = DrawKernels(host=CompiledDraw(tmp_path))
    assert sample(logits.clone(), inputs, compiled) == sample(logits.clone(), inputs)


@pytest.mark.parametrize(
    "params",
    [
        {"repetition_penalty": 1.3},
        {"presence_penalty": 0.5, "frequency_penalty": 0.2},
        {"logit_bias": {3: 2.0}},
        {"min_tokens": 9},
    ],
    ids=str,
)
def test_the_host_does_not_wait_for_a_device_that_draws(params: dict[str, Any]) -> None:
    def draw(logits: torch.Tensor, parameters: DrawParameters) -> tuple[torch.Tensor, torch.Tensor]:
        return logits.argmax(dim=1), logits.isfinite().all(dim=1)

    request = msgspec.structs.replace(make_input(2, (1, 2), (3, 3), **params), banned_token_ids=(0,))
    with NoWaits():
        drawn = launch_sampling(torch.empty(1, len(LOGITS), device=META), [request], DrawKernels(device=draw))
    assert drawn.on(META).shape == (1,)
