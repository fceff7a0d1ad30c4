"""What a decoder layer computes beside attention: by torch anywhere, by compiled kernels in float32 on CPU."""

import ctypes
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sarathi_kernels import native
from sarathi_kernels.backend import AttentionBackend
from sarathi_kernels.cpu import CPUAttention
from sarathi_kernels.int8_panels import Int8Panels
from sarathi_kernels.llama_block import LlamaBlockCall, LlamaWeights
from sarathi_kernels.quantized import Allocate, Quantization, QuantizedMatrix

_STEP = 16
# The kernel reads its rows again for every four columns, so they must stay in a core's cache. With AVX2 it is
# 2 to 3 times as fast as torch's product at 8 rows of 576, 1.3 times at 32, 1.1 times at 136.
_MAX_SKINNY_BYTES = 320 << 10
_MAX_KEPT_FLOATS = 4 << 20  # of scratch; more is taken anew for each block


class Parts(Protocol):
    """Those who have the parts of a matrix; all of them call the same in the same order."""

    def sum(self, part: Tensor) -> Tensor:
        """Return the sum of every one's `part`, all of one shape, to each of them; `part` may become it."""
        ...

    def largest(self, part: Tensor) -> Tensor:
        """Return the largest of every one's `part`, place by place, as `sum` does."""
        ...


class LayerKernels(Protocol):
    """The operations of a layer, each on rows of tokens."""

    def multiply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return `x @ weight.T` [num_rows, num_columns]; `x` [num_rows, depth], `weight` [num_columns, depth]."""
        ...

    def make_quantized(
        self, quantization: Quantization, num_rows: int, depth: int, allocate: Allocate
    ) -> QuantizedMatrix | Int8Panels:
        """Return an uninitialized matrix, laid out as `multiply_quantized` reads it best."""
        ...

    def multiply_quantized(self, x: Tensor, weight: QuantizedMatrix | Int8Panels) -> Tensor:
        """Return `multiply` with the floats that `weight` stands for."""
        ...

    def multiply_quantized_parts(
        self, x: Tensor, weight: QuantizedMatrix | Int8Panels, whole_depth: int, parts: Parts
    ) -> Tensor:
        """Return `multiply_quantized`, summed over the parts of `whole_depth` columns, of which these are one."""
        ...

    def normalize(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """Return `x / sqrt(mean(x^2) + eps) * weight` by row of `x` [num_rows, size]."""
        ...

    def add_and_normalize(self, x: Tensor, update: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """Return `x + update` and its `normalize`, all [num_rows, size]."""
        ...

    def gate(self, gate_up: Tensor) -> Tensor:
        """Return `silu(gate) * up` [num_rows, size]; a row of `gate_up` [num_rows, 2 * size] is gate, then up."""
        ...

    def rotate(self, heads: Tensor, cos: Tensor, sin: Tensor) -> None:
        """Turn `heads` [num_tokens, num_heads, head_dim] in place, halves against each other.

        `cos` and `sin` are [num_tokens, head_dim // 2] float32.
        """
        ...

    def in_one_call(self, weights: LlamaWeights, attention: AttentionBackend) -> LlamaBlockCall | None:
        """Return a block of Llama's kind that computes what its parts would; None where there is no such kernel."""
        ...


class TorchLayers(LayerKernels):
    """Torch's own operations, on any device and in any format."""

    def multiply(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.linear(x, weight)

    def make_quantized(
        self, quantization: Quantization, num_rows: int, depth: int, allocate: Allocate
    ) -> QuantizedMatrix | Int8Panels:
        return QuantizedMatrix.empty(quantization, num_rows, depth, allocate)

    def multiply_quantized(self, x: Tensor, weight: QuantizedMatrix | Int8Panels) -> Tensor:
        return F.linear(x, weight.to_floats(x.dtype))

    def multiply_quantized_parts(
        self, x: Tensor, weight: QuantizedMatrix | Int8Panels, whole_depth: int, parts: Parts
    ) -> Tensor:
        return parts.sum(self.multiply_quantized(x, weight))

    def normalize(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, eps)

    def add_and_normalize(self, x: Tensor, update: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        total = x + update
        return total, self.normalize(total, weight, eps)

    def gate(self, gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        return F.silu(gate) * up

    def rotate(self, heads: Tensor, cos: Tensor, sin: Tensor) -> None:
        first, second = heads.float().chunk(2, dim=-1)
        cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
        heads.copy_(torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1))

    def in_one_call(self, weights: LlamaWeights, attention: AttentionBackend) -> LlamaBlockCall | None:
        return None


class CPULayers(TorchLayers):
    """Float32 on CPU: compiled kernels where sizes suit them, torch where they do not.

    Raises `NativeUnavailable` where they can't be compiled. Their threads are torch's.
    """

    def __init__(self, directory: Path) -> None:
        elementwise = native.load("elementwise.cpp", directory)
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        gemm = native.load("skinny_gemm.cpp", directory).sarathi_skinny_gemm
        gemm.argtypes, gemm.restype = (pointer, integer, pointer, pointer, integer, integer, integer), None
        int4 = native.load("int4_gemm.cpp", directory).sarathi_int4_gemm
        int4.argtypes, int4.restype = (pointer, integer, *(pointer,) * 4, integer, integer, integer), None
        int8_gemm = native.load("int8_gemm.cpp", directory)
        int8, peaks = int8_gemm.sarathi_int8_gemm, int8_gemm.sarathi_int8_peaks
        sums, floats = int8_gemm.sarathi_int8_sums, int8_gemm.sarathi_int8_floats
        int8.argtypes, int8.restype = (pointer, integer, *(pointer,) * 3, integer, integer, integer), None
        peaks.argtypes, peaks.restype = (pointer, integer, pointer, integer, integer), None
        sums.argtypes, sums.restype = (pointer, integer, *(pointer,) * 3, *(integer,) * 4), None
        floats.argtypes, floats.restype = (*(pointer,) * 4, integer, integer, integer), None
        norm = elementwise.sarathi_rms_norm
        norm.argtypes, norm.restype = (pointer, pointer, pointer, integer, integer, ctypes.c_float), None
        gate = elementwise.sarathi_gate
        gate.argtypes, gate.restype = (pointer, pointer, integer, integer), None
        rotate = elementwise.sarathi_rotate
        rotate.argtypes, rotate.restype = (pointer, pointer, pointer, integer, integer, integer, integer), None
        block = native.load("llama_block.cpp", directory).sarathi_llama_block
        block.argtypes, block.restype = LlamaBlockCall.ARGUMENTS, None
        self._skinny_gemm, self._int4_gemm, self._int8_gemm, self._block = gemm, int4, int8, block
        self._int8_peaks, self._int8_sums, self._int8_floats = peaks, sums, floats
        self._rms_norm, self._gate, self._rotate = norm, gate, rotate
        self._kept_scratch = torch.empty(0)

    def multiply(self, x: Tensor, weight: Tensor) -> Tensor:
        num_rows, (num_columns, depth) = x.shape[0], weight.shape
        if num_rows * depth * x.itemsize > _MAX_SKINNY_BYTES or depth % _STEP:
            return super().multiply(x, weight)
        assert x.stride(1) == 1 and weight.is_contiguous()
        y = torch.empty(num_rows, num_columns)
        self._skinny_gemm(x.data_ptr(), x.stride(0), weight.data_ptr(), y.data_ptr(), num_rows, num_columns, depth)
        return y

    def make_quantized(
        self, quantization: Quantization, num_rows: int, depth: int, allocate: Allocate
    ) -> QuantizedMatrix | Int8Panels:
        if quantization is Quantization.INT8 and depth % _STEP == 0:
            return Int8Panels.empty(num_rows, depth, allocate)
        return super().make_quantized(quantization, num_rows, depth, allocate)

    def multiply_quantized(self, x: Tensor, weight: QuantizedMatrix | Int8Panels) -> Tensor:
        if isinstance(weight, Int8Panels):
            return self._multiply_int8(x, weight)
        if weight.minima is None or weight.depth % _STEP:
            return super().multiply_quantized(x, weight)
        return self._multiply_int4(x, weight, weight.minima)

    def _multiply_int8(self, x: Tensor, weight: Int8Panels) -> Tensor:
        """Return the product with `x` rounded, row by row, to 16-bit numbers; no other row changes a row's bits."""
        num_rows, num_columns, depth, (stride, step) = x.shape[0], weight.num_rows, weight.depth, x.stride()
        assert step == 1 and weight.first == 0 and depth % _STEP == 0
        y = torch.empty(num_rows, num_columns)
        self._int8_gemm(
            x.data_ptr(),
            stride,
            weight.panels.data_ptr(),
            weight.scales.data_ptr(),
            y.data_ptr(),
            num_rows,
            num_columns,
            depth,
        )
        return y

    def multiply_quantized_parts(
        self, x: Tensor, weight: QuantizedMatrix | Int8Panels, whole_depth: int, parts: Parts
    ) -> Tensor:
        if not isinstance(weight, Int8Panels):
            return super().multiply_quantized_parts(x, weight, whole_depth, parts)
        return self._multiply_int8_parts(x, weight, whole_depth, parts)

    def _multiply_int8_parts(self, x: Tensor, weight: Int8Panels, whole_depth: int, parts: Parts) -> Tensor:
        """Return the product of whole rows, to the bit: their parts share a scale, and integers are what is summed."""
        num_rows, num_columns, depth, (stride, step) = x.shape[0], weight.num_rows, weight.depth, x.stride()
        assert step == 1 and weight.first == 0 and depth % _STEP == 0
        peaks = torch.empty(num_rows)
        self._int8_peaks(x.data_ptr(), stride, peaks.data_ptr(), num_rows, depth)
        peaks = parts.largest(peaks)
        sums = torch.empty(num_rows, num_columns, dtype=torch.int32)
        self._int8_sums(
            x.data_ptr(),
            stride,
            peaks.data_ptr(),
            weight.panels.data_ptr(),
            sums.data_ptr(),
            num_rows,
            num_columns,
            depth,
            whole_depth,
        )
        sums = parts.sum(sums)
        y = torch.empty(num_rows, num_columns)
        self._int8_floats(
            sums.data_ptr(),
            peaks.data_ptr(),
            weight.scales.data_ptr(),
            y.data_ptr(),
            num_rows,
            num_columns,
            whole_depth,
        )
        return y

    def _multiply_int4(self, x: Tensor, weight: QuantizedMatrix, minima: Tensor) -> Tensor:
        num_rows, num_columns, depth = x.shape[0], weight.num_rows, weight.depth
        is_skinny = num_rows * depth * x.itemsize <= _MAX_SKINNY_BYTES
        y = torch.empty((num_rows, num_columns) if is_skinny else (num_columns, depth))
        assert x.stride(1) == 1 and all(part.is_contiguous() for part in (weight.values, weight.scales, minima))
        self._int4_gemm(
            x.data_ptr() if is_skinny else None,
            x.stride(0),
            weight.values.data_ptr(),
            weight.scales.data_ptr(),
            minima.data_ptr(),
            y.data_ptr(),
            num_rows,
            num_columns,
            depth,
        )
        return y if is_skinny else F.linear(x, y)

    def normalize(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        num_rows, size = x.shape
        if size % _STEP:
            return super().normalize(x, weight, eps)
        assert x.is_contiguous()
        y = torch.empty_like(x)
        self._rms_norm(x.data_ptr(), weight.data_ptr(), y.data_ptr(), num_rows, size, eps)
        return y

    def gate(self, gate_up: Tensor) -> Tensor:
        num_rows, size = gate_up.shape[0], gate_up.shape[1] // 2
        if size % _STEP:
            return super().gate(gate_up)
        assert gate_up.is_contiguous()
        y = torch.empty(num_rows, size)
        self._gate(gate_up.data_ptr(), y.data_ptr(), num_rows, size)
        return y

    def rotate(self, heads: Tensor, cos: Tensor, sin: Tensor) -> None:
        num_tokens, num_heads, head_dim = heads.shape
        assert heads.stride()[1:] == (head_dim, 1) and cos.is_contiguous() and sin.is_contiguous()
        self._rotate(
            heads.data_ptr(), cos.data_ptr(), sin.data_ptr(), num_tokens, heads.stride(0), num_heads, head_dim // 2
        )

    def in_one_call(self, weights: LlamaWeights, attention: AttentionBackend) -> LlamaBlockCall | None:
        if not isinstance(attention, CPUAttention):
            return None
        kernels = (self._int8_gemm, self._rms_norm, self._rotate, self._gate)
        return LlamaBlockCall(self._block, kernels, weights, attention, self._scratch)

    def _scratch(self, num_floats: int) -> Tensor:
        """Return room for what a block computes in between; who asks next may get the same."""
        if num_floats > _MAX_KEPT_FLOATS:
            return torch.empty(num_floats)
        if self._kept_scratch.numel() < num_floats:
            self._kept_scratch = torch.empty(num_floats)
        return self._kept_scratch
