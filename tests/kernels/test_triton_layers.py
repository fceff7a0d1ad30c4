"""Our Triton operations of a layer, interpreted, against torch's in float64."""

import pytest
import torch
from sarathi_kernels.layers import TorchLayers
from sarathi_kernels.quantized import Quantization, QuantizedMatrix

from tests.kernels.host_memory import host_memory
from tests.kernels.interpreter import HAS_TRITON, triton_interpreter

if not HAS_TRITON:
    pytest.skip("Triton is not installed", allow_module_level=True)

with triton_interpreter():
    from sarathi_kernels.triton_layers import TritonLayers

ORACLE = TorchLayers()
LAYERS = TritonLayers()
TOLERANCE = 1e-5


@pytest.mark.parametrize("size", [64, 80, 576])
def test_norm_matches_float64(size: int) -> None:
    x, weight = torch.randn(3, size) * 10, torch.randn(size)
    expected = ORACLE.normalize(x.double(), weight.double(), 1e-5)
    torch.testing.assert_close(LAYERS.normalize(x, weight, 1e-5).double(), expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_rows_of_a_norm_may_lie_apart() -> None:
    wide, weight = torch.randn(4, 64), torch.randn(32)
    assert torch.equal(
        LAYERS.normalize(wide[:, :32], weight, 1e-5), LAYERS.normalize(wide[:, :32].clone(), weight, 1e-5)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_sum_and_its_norm_match_float64(dtype: torch.dtype) -> None:
    x, update, weight = (torch.randn(shape).to(dtype) for shape in ((3, 80), (3, 80), (80,)))
    total, normalized = LAYERS.add_and_normalize(x, update, weight, 1e-5)
    assert torch.equal(total, x + update)
    expected = ORACLE.normalize(total.double(), weight.double(), 1e-5)
    tolerance = TOLERANCE if dtype == torch.float32 else 2e-3
    torch.testing.assert_close(normalized.double(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("size", [24, 1024, 1500])
def test_gate_matches_float64(size: int) -> None:
    gate_up = torch.randn(2, 2 * size) * 10
    expected = ORACLE.gate(gate_up.double())
    torch.testing.assert_close(LAYERS.gate(gate_up).double(), expected, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("quantization", list(Quantization))
@pytest.mark.parametrize(("num_rows", "num_columns", "depth"), [(1, 7, 32), (17, 70, 96), (65, 5, 64)])
def test_quantized_product_matches_that_of_the_floats(
    quantization: Quantization, num_rows: int, num_columns: int, depth: int
) -> None:
    matrix = QuantizedMatrix.empty(quantization, num_columns, depth, host_memory)
    matrix.take(torch.randn(num_columns, depth))
    x = torch.randn(num_rows, depth)
    expected = x.double() @ matrix.to_floats(torch.float64).T
    torch.testing.assert_close(LAYERS.multiply_quantized(x, matrix).double(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("head_dim", [2, 20, 64, 80])
def test_rotation_turns_the_heads_it_is_given_and_no_other(head_dim: int) -> None:
    heads = torch.randn(3, 5, head_dim)
    angles = torch.randn(3, head_dim // 2)
    expected = heads.double()
    ORACLE.rotate(expected[:, :3], angles.cos().double(), angles.sin().double())
    LAYERS.rotate(heads[:, :3], angles.cos(), angles.sin())
    torch.testing.assert_close(heads.double(), expected, atol=TOLERANCE, rtol=0)
