"""8-bit numbers in panels: the same as by rows, multiplied in integers, where no row knows of another."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from sarathi_kernels.int8_panels import Int8Panels
from sarathi_kernels.layers import CPULayers, Parts
from sarathi_kernels.quantized import Quantization, QuantizedMatrix

from tests.kernels.host_memory import host_memory
from tests.models.sharded_model import thread_groups

SHAPES = [(1, 32), (7, 48), (16, 64), (37, 576), (160, 1536)]


@pytest.fixture(scope="module")
def layers(kernel_directory: Path) -> CPULayers:
    return CPULayers(kernel_directory)


def in_panels(weight: torch.Tensor) -> Int8Panels:
    num_rows, depth = weight.shape
    matrix = Int8Panels.empty(num_rows, depth, host_memory)
    matrix.take(weight)
    return matrix


@pytest.mark.parametrize(("num_rows", "depth"), SHAPES)
def test_they_hold_what_rows_of_8_bit_numbers_hold(num_rows: int, depth: int) -> None:
    weight = torch.randn(num_rows, depth)
    by_rows = QuantizedMatrix.empty(Quantization.INT8, num_rows, depth, host_memory)
    by_rows.take(weight)
    panels = in_panels(weight)
    assert torch.equal(panels.to_floats(torch.float32), by_rows.to_floats(torch.float32))
    assert panels.nbytes == by_rows.nbytes


def test_parts_that_end_within_a_panel_are_filled_one_by_one() -> None:
    weight = torch.randn(41, 64)
    matrix = Int8Panels.empty(41, 64, host_memory)
    for first, count in ((0, 5), (5, 20), (25, 16)):
        matrix.rows(first, count).take(weight[first : first + count])
    assert torch.equal(matrix.to_floats(torch.float32), in_panels(weight).to_floats(torch.float32))
    assert torch.equal(matrix.rows(5, 20).to_floats(torch.float32), matrix.to_floats(torch.float32)[5:25])


@pytest.mark.parametrize("num_rows", [1, 2, 5, 6, 7, 12, 13, 49, 300])
@pytest.mark.parametrize(("num_columns", "depth"), SHAPES)
def test_product_is_that_of_the_floats_but_for_the_rounding_of_a_row(
    layers: CPULayers, num_rows: int, num_columns: int, depth: int
) -> None:
    x, matrix = torch.randn(num_rows, depth), in_panels(torch.randn(num_columns, depth))
    expected = x.double() @ matrix.to_floats(torch.float64).T
    step = x.abs().amax(dim=1, keepdim=True) / min(32767, (2**31 - 1) // (127 * depth))
    largest_error = step / 2 * matrix.to_floats(torch.float32).abs().sum(dim=1)
    assert ((layers.multiply_quantized(x, matrix) - expected).abs() <= largest_error + 1e-4).all()


def test_sums_that_fill_32_bits_are_exact(layers: CPULayers) -> None:
    for depth in (576, 28672):
        ones, matrix = torch.ones(2, depth), in_panels(torch.ones(16, depth))
        torch.testing.assert_close(layers.multiply_quantized(ones, matrix), torch.full((2, 16), float(depth)))
        torch.testing.assert_close(layers.multiply_quantized(-ones, matrix), torch.full((2, 16), -float(depth)))


def test_a_row_depends_on_itself_alone(layers: CPULayers) -> None:
    x, matrix = torch.randn(300, 576), in_panels(torch.randn(100, 576))
    together = layers.multiply_quantized(x, matrix)
    for first, count in ((0, 1), (1, 6), (7, 13), (20, 280)):
        alone = layers.multiply_quantized(x[first : first + count], matrix)
        assert torch.equal(alone, together[first : first + count])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_row_that_is_no_numbers_gives_none_and_spoils_no_other(layers: CPULayers, bad: float) -> None:
    x, matrix = torch.randn(9, 64), in_panels(torch.randn(20, 64))
    clean = layers.multiply_quantized(x, matrix)
    x[4, 17] = bad
    spoiled = layers.multiply_quantized(x, matrix)
    assert spoiled[4].isnan().all()
    assert torch.equal(spoiled[[0, 1, 2, 3, 5, 6, 7, 8]], clean[[0, 1, 2, 3, 5, 6, 7, 8]])


@pytest.mark.parametrize("num_parts", [2, 3])
def test_a_product_in_parts_has_the_bits_of_the_whole_one(layers: CPULayers, num_parts: int) -> None:
    x, weight = torch.randn(9, 96), torch.randn(20, 96)
    x[2], x[4, 70], x[5, 1] = 0.0, float("nan"), float("inf")
    width, peaks = 96 // num_parts, weight.abs().amax(dim=1, keepdim=True)

    def multiply(part: int, group: Parts) -> torch.Tensor:
        columns = slice(part * width, (part + 1) * width)
        matrix = Int8Panels.empty(20, width, host_memory)
        matrix.take(weight[:, columns], peaks)
        return layers.multiply_quantized_parts(x[:, columns], matrix, 96, group)

    with ThreadPoolExecutor(num_parts) as pool:
        products = list(pool.map(multiply, range(num_parts), thread_groups(num_parts)))
    whole = layers.multiply_quantized(x, in_panels(weight))
    for product in products:
        torch.testing.assert_close(product, whole, rtol=0.0, atol=0.0, equal_nan=True)


def test_a_row_of_zeros_gives_zeros(layers: CPULayers) -> None:
    assert not layers.multiply_quantized(torch.zeros(3, 64), in_panels(torch.randn(20, 64))).any()


def test_rows_may_lie_apart(layers: CPULayers) -> None:
    wide, matrix = torch.randn(8, 128), in_panels(torch.randn(20, 64))
    narrow = wide[:, 64:]
    assert torch.equal(layers.multiply_quantized(narrow, matrix), layers.multiply_quantized(narrow.clone(), matrix))


def test_a_depth_that_no_register_fits_is_kept_by_rows(layers: CPULayers) -> None:
    assert isinstance(layers.make_quantized(Quantization.INT8, 5, 24, host_memory), QuantizedMatrix)
    assert isinstance(layers.make_quantized(Quantization.INT8, 5, 32, host_memory), Int8Panels)
