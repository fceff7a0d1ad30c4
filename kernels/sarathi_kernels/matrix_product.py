"""Products of activations with weight matrices: torch's, and a faster one for few rows on CPU."""

import ctypes
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sarathi_kernels import native

_SOURCE = "skinny_gemm.cpp"
_DEPTH_STEP = 16
# Below this many rows reading the weights takes the time: at 8 rows the kernel is 2 to 3 times as fast as
# torch's product on AVX2, at 32 rows 1.0 to 1.3 times.
_MAX_SKINNY_ROWS = 48


class MatrixProduct(Protocol):
    """A way to compute `x @ weight.T`."""

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return [num_rows, num_columns] for `x` [num_rows, depth] and `weight` [num_columns, depth]."""
        ...


def torch_product(x: Tensor, weight: Tensor) -> Tensor:
    """The product as torch computes it, anywhere."""
    return F.linear(x, weight)


class SkinnyProduct(MatrixProduct):
    """Float32 on CPU: a C++ kernel for few rows, torch for many.

    Raises `NativeUnavailable` where the kernel can't be compiled. Its threads are torch's.
    """

    def __init__(self, directory: Path) -> None:
        self._multiply = native.load(_SOURCE, directory).sarathi_skinny_gemm
        self._multiply.argtypes = (ctypes.c_void_p, ctypes.c_int64) + (ctypes.c_void_p,) * 2 + (ctypes.c_int64,) * 3
        self._multiply.restype = None

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        num_rows, (num_columns, depth) = len(x), weight.shape
        if num_rows > _MAX_SKINNY_ROWS or depth % _DEPTH_STEP:
            return F.linear(x, weight)
        assert x.stride(1) == 1 and weight.is_contiguous()
        y = torch.empty(num_rows, num_columns)
        self._multiply(x.data_ptr(), x.stride(0), weight.data_ptr(), y.data_ptr(), num_rows, num_columns, depth)
        return y
