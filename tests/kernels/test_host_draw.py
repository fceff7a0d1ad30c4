"""Tokens drawn on the host by one compiled pass over a row."""

from pathlib import Path

import pytest
import torch
from sarathi_kernels.host_draw import CompiledDraw

ROUNDING = 1e-5  # of a running sum of floats


@pytest.fixture(scope="module")
def draw(kernel_directory: Path) -> CompiledDraw:
    return CompiledDraw(kernel_directory)


def draw_all(draw: CompiledDraw, logits: torch.Tensor, temperature: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    return draw(logits, torch.arange(len(logits)), logits.amax(dim=1), temperature, share)


@pytest.mark.parametrize("vocab_size", [1, 2, 255, 256, 257, 1000, 49_152])
def test_a_token_lies_where_the_running_sum_of_weights_passes_the_share(draw: CompiledDraw, vocab_size: int) -> None:
    logits = 3.0 * torch.randn(40, vocab_size, generator=torch.Generator().manual_seed(1))
    temperature = torch.linspace(0.2, 3.0, 40)
    share = torch.linspace(0.0, 1.0 - 2.0**-53, 40, dtype=torch.float64)
    token_ids = draw_all(draw, logits, temperature, share)
    sums = (logits.double() / temperature.unsqueeze(1)).softmax(dim=1).cumsum(dim=1)
    places = token_ids.unsqueeze(1)
    before = torch.where(token_ids > 0, sums.gather(1, (places - 1).clamp(min=0)).flatten(), 0.0)
    assert (before <= share + ROUNDING).all()
    assert (sums.gather(1, places).flatten() >= share - ROUNDING).all()


def test_a_rows_token_depends_on_itself_alone(draw: CompiledDraw) -> None:
    wide = torch.randn(9, 2 * 700)
    logits = wide[:, 700:]  # rows lie apart
    temperature, share = torch.full((9,), 0.9), torch.rand(9, dtype=torch.float64)
    together = draw_all(draw, logits, temperature, share)
    for row in range(9):
        alone = draw_all(draw, logits[row : row + 1].clone(), temperature[:1], share[row : row + 1])
        assert alone == together[row]
    some = torch.tensor([7, 2])
    assert torch.equal(draw(logits, some, logits[some].amax(dim=1), temperature[:2], share[some]), together[some])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0 - 2.0**-53])
def test_a_token_without_weight_is_not_drawn(draw: CompiledDraw, share: float) -> None:
    logits = torch.full((1, 600), -torch.inf)
    logits[0, 300] = -7.0
    drawn = draw_all(draw, logits, torch.ones(1), torch.tensor([share], dtype=torch.float64))
    assert drawn.tolist() == [300]


def test_next_to_no_temperature_takes_the_best(draw: CompiledDraw) -> None:
    logits = torch.randn(5, 3000)
    drawn = draw_all(draw, logits, torch.full((5,), 1e-30), torch.rand(5, dtype=torch.float64))
    assert torch.equal(drawn, logits.argmax(dim=1))


def test_nobody_drawing_is_no_work(draw: CompiledDraw) -> None:
    nobody = torch.empty(0)
    assert not len(draw(torch.randn(3, 10), nobody.long(), nobody, nobody, nobody.double()))
