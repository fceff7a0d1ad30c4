"""The product for few rows against float64."""

from pathlib import Path

import pytest
import torch
from sarathi_kernels.matrix_product import SkinnyProduct, torch_product


@pytest.fixture(scope="module")
def multiply(kernel_directory: Path) -> SkinnyProduct:
    return SkinnyProduct(kernel_directory)


@pytest.mark.parametrize("num_rows", [1, 2, 3, 4, 5, 8, 48, 49, 100])
@pytest.mark.parametrize(("num_columns", "depth"), [(1, 16), (7, 32), (960, 576), (64, 24)])
def test_product_matches_float64(multiply: SkinnyProduct, num_rows: int, num_columns: int, depth: int) -> None:
    x, weight = torch.randn(num_rows, depth), torch.randn(num_columns, depth)
    torch.testing.assert_close(
        multiply(x, weight).double(), torch_product(x.double(), weight.double()), atol=1e-4, rtol=0
    )


def test_rows_of_x_may_lie_apart(multiply: SkinnyProduct) -> None:
    wide, weight = torch.randn(5, 64), torch.randn(12, 32)
    assert torch.equal(multiply(wide[:, :32], weight), multiply(wide[:, :32].contiguous(), weight))


def test_a_row_does_not_depend_on_the_number_of_rows(multiply: SkinnyProduct) -> None:
    x, weight = torch.randn(48, 576), torch.randn(960, 576)
    whole = multiply(x, weight)
    assert all(
        torch.equal(multiply(x[i : i + n], weight), whole[i : i + n]) for i, n in ((0, 1), (7, 1), (3, 2), (40, 8))
    )


def test_a_nan_stays_in_its_row(multiply: SkinnyProduct) -> None:
    x, weight = torch.randn(6, 32), torch.randn(8, 32)
    x[4, 3] = torch.nan
    rows_with_nan = multiply(x, weight).isnan().any(dim=1)
    assert rows_with_nan.tolist() == [False, False, False, False, True, False]
