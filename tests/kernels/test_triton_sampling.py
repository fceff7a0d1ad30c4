"""Drawing without a sort, interpreted, against sorting."""

from typing import Any

import pytest
import torch
from sarathi_kernels.probe import check_draw
from sarathi_kernels.sampling import DrawParameters
from torch import Tensor

from tests.kernels.interpreter import HAS_TRITON, triton_interpreter

if not HAS_TRITON:
    pytest.skip("Triton is not installed", allow_module_level=True)

with triton_interpreter():
    from sarathi_kernels.triton_sampling import draw

VOCAB_SIZE = 5000  # more than a kernel reads at a time
NUM_DRAWS = 4


def make_parameters(
    num_rows: int, temperature: float = 1.0, top_k: int = VOCAB_SIZE, top_p: float = 1.0, min_p: float = 0.0
) -> DrawParameters:
    """Return the same parameters for every row, and shares that cover what may be drawn evenly."""
    return DrawParameters(
        temperature=torch.full((num_rows,), temperature),
        top_k=torch.full((num_rows,), top_k, dtype=torch.int32),
        top_p=torch.full((num_rows,), top_p),
        min_p=torch.full((num_rows,), min_p),
        share=(torch.arange(num_rows) + 0.5) / num_rows,
    )


def draw_by_sorting(logits: Tensor, index: int, parameters: DrawParameters) -> int:
    """Return what row `index` draws, in float64, by sorting the whole vocabulary."""
    weights = ((logits.double() - logits.max()) / parameters.temperature[index]).exp()
    order = weights.argsort(descending=True, stable=True)[: int(parameters.top_k[index])]
    order = order[weights[order] >= parameters.min_p[index]]
    held = weights[order].cumsum(0)
    order = order[: int((held < parameters.top_p[index].double() * held[-1]).sum()) + 1]
    kept = torch.zeros_like(weights).index_copy(0, order, weights[order]).cumsum(0)
    return int((kept <= parameters.share[index].double() * kept[-1]).sum())


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"temperature": 0.3},
        {"top_k": 1},
        {"top_p": 0.9},
        {"min_p": 0.1},
        {"top_k": 50, "top_p": 0.8, "min_p": 0.01, "temperature": 1.7},
    ],
    ids=str,
)
def test_draws_are_those_of_a_sorted_vocabulary(how: dict[str, Any]) -> None:
    logits = torch.randn(VOCAB_SIZE, generator=torch.Generator().manual_seed(0)) * 3
    parameters = make_parameters(NUM_DRAWS, **how)
    token_ids, is_number = draw(logits.repeat(NUM_DRAWS, 1), parameters)
    assert is_number.all()
    assert token_ids.tolist() == [draw_by_sorting(logits, index, parameters) for index in range(NUM_DRAWS)]


def test_greedy_takes_the_first_of_the_best() -> None:
    logits = torch.randn(3, VOCAB_SIZE)
    logits[:, 4500] = logits[:, 4700] = 9.0
    token_ids, is_number = draw(logits, make_parameters(3, temperature=0.0))
    assert token_ids.tolist() == [4500] * 3
    assert is_number.all()


def test_rows_without_numbers_are_told_apart() -> None:
    logits = torch.randn(5, 100)
    logits[1, 2], logits[2, 5], logits[3] = torch.nan, torch.inf, -torch.inf
    _, is_number = draw(logits, make_parameters(5, top_k=100))
    assert is_number.tolist() == [True, False, False, False, True]


def test_a_token_of_no_weight_is_never_drawn() -> None:
    logits = torch.full((NUM_DRAWS, 100), -torch.inf)
    logits[:, [20, 70]] = 0.0
    token_ids, _ = draw(logits, make_parameters(NUM_DRAWS, top_k=100))
    assert set(token_ids.tolist()) == {20, 70}


def test_it_passes_the_check_at_start() -> None:
    check_draw(draw, torch.device("cpu"))
