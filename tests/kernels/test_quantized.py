"""Numbers of 8 and 4 bits: near the floats that they stand for, and multiplied as those are."""

from pathlib import Path

import pytest
import torch
from sarathi_kernels.layers import CPULayers, TorchLayers
from sarathi_kernels.quantized import Quantization, QuantizedMatrix

from tests.kernels.host_memory import host_memory

BOTH = list(Quantization)


@pytest.fixture(scope="module")
def layers(kernel_directory: Path) -> CPULayers:
    return CPULayers(kernel_directory)


def quantize(weight: torch.Tensor, quantization: Quantization) -> QuantizedMatrix:
    matrix = QuantizedMatrix.empty(quantization, len(weight), weight.shape[1], host_memory)
    matrix.take(weight)
    return matrix


def test_no_number_is_farther_off_than_half_a_step() -> None:
    weight = torch.randn(7, 96)
    int8 = quantize(weight, Quantization.INT8).to_floats(torch.float32)
    assert ((int8 - weight).abs() <= weight.abs().amax(1, keepdim=True) / 254 + 1e-6).all()
    int4 = quantize(weight, Quantization.INT4).to_floats(torch.float32)
    groups = weight.view(7, 3, 32)
    steps = (groups.amax(2) - groups.amin(2)) / 15
    assert ((int4.view(7, 3, 32) - groups).abs() <= steps.unsqueeze(2) / 2 + 1e-6).all()


@pytest.mark.parametrize("quantization", BOTH)
def test_numbers_that_are_all_alike_stay_as_they_are(quantization: Quantization) -> None:
    for value in (0.0, 0.25):
        weight = torch.full((3, 64), value)
        torch.testing.assert_close(quantize(weight, quantization).to_floats(torch.float32), weight)


@pytest.mark.parametrize(
    ("quantization", "num_bytes"), [(Quantization.INT8, 64 * 128 + 64 * 4), (Quantization.INT4, 64 * 64 + 64 * 4 * 8)]
)
def test_it_takes_the_bytes_that_it_says(quantization: Quantization, num_bytes: int) -> None:
    assert QuantizedMatrix.empty(quantization, 64, 128, host_memory).nbytes == num_bytes


@pytest.mark.parametrize("quantization", BOTH)
def test_rows_are_views(quantization: Quantization) -> None:
    weight = torch.randn(6, 64)
    matrix = QuantizedMatrix.empty(quantization, 6, 64, host_memory)
    matrix.rows(0, 2).take(weight[:2])
    matrix.rows(2, 4).take(weight[2:])
    assert torch.equal(matrix.to_floats(torch.float32), quantize(weight, quantization).to_floats(torch.float32))


@pytest.mark.parametrize("quantization", BOTH)
@pytest.mark.parametrize("num_rows", [1, 2, 3, 4, 8, 49, 300])
@pytest.mark.parametrize(("num_columns", "depth"), [(1, 32), (7, 64), (64, 576)])
def test_product_matches_that_of_the_floats(
    layers: CPULayers, quantization: Quantization, num_rows: int, num_columns: int, depth: int
) -> None:
    x, matrix = torch.randn(num_rows, depth), quantize(torch.randn(num_columns, depth), quantization)
    expected = x.double() @ matrix.to_floats(torch.float64).T
    for kernels in (layers, TorchLayers()):
        torch.testing.assert_close(kernels.multiply_quantized(x, matrix).double(), expected, atol=1e-3, rtol=0)
