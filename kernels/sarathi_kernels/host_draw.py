"""Draws tokens of rows of logits on a CPU, by the package's C++ kernel."""

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from sarathi_kernels import native
from sarathi_kernels.sampling import HostDrawKernel


class CompiledDraw(HostDrawKernel):
    """One pass over each row, in a third of numpy's time; raises `NativeUnavailable` where it can't be compiled."""

    def __init__(self, directory: Path) -> None:
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        self._draw = native.load("draw.cpp", directory).sarathi_draw
        self._draw.argtypes = (pointer, integer, *(pointer,) * 5, integer, integer)
        self._draw.restype = None

    def __call__(self, logits: Tensor, rows: Tensor, largest: Tensor, temperature: Tensor, share: Tensor) -> Tensor:
        assert logits.stride(1) == 1 and logits.dtype == largest.dtype == temperature.dtype == torch.float32
        assert rows.dtype == torch.int64 and share.dtype == torch.float64
        assert len(rows) == len(largest) == len(temperature) == len(share)
        token_ids = torch.empty_like(rows)
        self._draw(
            logits.data_ptr(),
            logits.stride(0),
            rows.data_ptr(),
            largest.data_ptr(),
            temperature.data_ptr(),
            share.data_ptr(),
            token_ids.data_ptr(),
            len(rows),
            logits.shape[1],
        )
        return token_ids
