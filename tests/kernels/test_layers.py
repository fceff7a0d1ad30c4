"""The compiled operations of a layer against torch's in float64."""

from pathlib import Path

import pytest
import torch
from sarathi_kernels.layers import CPULayers, TorchLayers

ORACLE = TorchLayers()
NUM_ROWS = [1, 2, 3, 4, 5, 8, 48, 49, 100]


@pytest.fixture(scope="module")
def layers(kernel_directory: Path) -> CPULayers:
    return CPULayers(kernel_directory)


@pytest.mark.parametrize("num_rows", NUM_ROWS)
@pytest.mark.parametrize(("num_columns", "depth"), [(1, 16), (7, 32), (960, 576), (64, 24), (8, 1536)])
def test_product_matches_float64(layers: CPULayers, num_rows: int, num_columns: int, depth: int) -> None:
    x, weight = torch.randn(num_rows, depth), torch.randn(num_columns, depth)
    expected = ORACLE.multiply(x.double(), weight.double())
    torch.testing.assert_close(layers.multiply(x, weight).double(), expected, atol=1e-4, rtol=0)


def test_rows_of_a_product_may_lie_apart(layers: CPULayers) -> None:
    wide, weight = torch.randn(5, 64), torch.randn(12, 32)
    assert torch.equal(layers.multiply(wide[:, :32], weight), layers.multiply(wide[:, :32].contiguous(), weight))


def test_a_row_of_a_product_does_not_depend_on_the_number_of_rows(layers: CPULayers) -> None:
    x, weight = torch.randn(48, 576), torch.randn(960, 576)
    whole = layers.multiply(x, weight)
    for start, length in ((0, 1), (7, 1), (3, 2), (40, 8)):
        assert torch.equal(layers.multiply(x[start : start + length], weight), whole[start : start + length])


def test_a_nan_stays_in_its_row(layers: CPULayers) -> None:
    x, weight = torch.randn(6, 32), torch.randn(8, 32)
    x[4, 3] = torch.nan
    for y in (layers.multiply(x, weight), layers.normalize(x, weight[0], 1e-5), layers.gate(x)):
        assert y.isnan().any(dim=1).tolist() == [False, False, False, False, True, False]


@pytest.mark.parametrize("num_rows", NUM_ROWS)
@pytest.mark.parametrize("size", [16, 24, 576])
def test_norm_matches_float64(layers: CPULayers, num_rows: int, size: int) -> None:
    x, weight = torch.randn(num_rows, size) * 10, torch.randn(size)
    expected = ORACLE.normalize(x.double(), weight.double(), 1e-5)
    torch.testing.assert_close(layers.normalize(x, weight, 1e-5).double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("num_rows", NUM_ROWS)
@pytest.mark.parametrize("size", [16, 24, 1536])
def test_gate_matches_float64(layers: CPULayers, num_rows: int, size: int) -> None:
    gate_up = torch.randn(num_rows, 2 * size) * 10
    torch.testing.assert_close(layers.gate(gate_up).double(), ORACLE.gate(gate_up.double()), atol=1e-5, rtol=1e-5)


def test_gate_has_its_limits_far_out(layers: CPULayers) -> None:
    gate_up = torch.tensor([[-1e30, -100.0, -88.0, 0.0, 88.0, 100.0, 1e30, 1.0] * 2 + [1.0] * 16])
    torch.testing.assert_close(layers.gate(gate_up), ORACLE.gate(gate_up), atol=1e-30, rtol=1e-6)


@pytest.mark.parametrize("num_tokens", NUM_ROWS)
@pytest.mark.parametrize("head_dim", [2, 20, 64, 128])
def test_rotation_turns_the_heads_it_is_given_and_no_other(layers: CPULayers, num_tokens: int, head_dim: int) -> None:
    heads = torch.randn(num_tokens, 5, head_dim)
    angles = torch.randn(num_tokens, head_dim // 2)
    expected = heads.double()
    ORACLE.rotate(expected[:, :3], angles.cos().double(), angles.sin().double())
    layers.rotate(heads[:, :3], angles.cos(), angles.sin())
    torch.testing.assert_close(heads.double(), expected, atol=1e-5, rtol=0)
