"""Blocks of ggml's K-quants drawn at random, and their values by ggml's own loops, one at a time."""

from collections.abc import Iterator

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from numpy.typing import NDArray

Block = NDArray[np.uint8]


def random_blocks(quantization: GGMLQuantizationType, num_blocks: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return [num_blocks, block_bytes] of arbitrary bits, but for the half-precision scales, which are small."""
    _, block_bytes = GGML_QUANT_SIZES[quantization]
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 256, (num_blocks, block_bytes), dtype=np.uint8)
    scales = generator.uniform(-0.1, 0.1, (num_blocks, 2)).astype(np.float16).view(np.uint8)
    if quantization == GGMLQuantizationType.Q6_K:
        blocks[:, -2:] = scales[:, :2]
    else:
        blocks[:, :4] = scales
    return blocks


def q4_k(block: Block) -> Iterator[float]:
    """Yield the 256 values of one block (`dequantize_row_q4_K`)."""
    scales, nibbles = block[4:16], block[16:]
    for pair in range(4):
        low_scale, low_min = _scale_and_min(block, scales, 2 * pair)
        high_scale, high_min = _scale_and_min(block, scales, 2 * pair + 1)
        part = nibbles[32 * pair : 32 * pair + 32].tolist()
        yield from (low_scale * (byte & 15) - low_min for byte in part)
        yield from (high_scale * (byte >> 4) - high_min for byte in part)


def q5_k(block: Block) -> Iterator[float]:
    """Yield the 256 values of one block (`dequantize_row_q5_K`)."""
    scales, fifth_bits, nibbles = block[4:16], block[16:48].tolist(), block[48:]
    for pair in range(4):
        low_scale, low_min = _scale_and_min(block, scales, 2 * pair)
        high_scale, high_min = _scale_and_min(block, scales, 2 * pair + 1)
        part = nibbles[32 * pair : 32 * pair + 32].tolist()
        for byte, bits in zip(part, fifth_bits, strict=True):
            yield low_scale * ((byte & 15) + 16 * (bits >> 2 * pair & 1)) - low_min
        for byte, bits in zip(part, fifth_bits, strict=True):
            yield high_scale * ((byte >> 4) + 16 * (bits >> 2 * pair + 1 & 1)) - high_min


def q6_k(block: Block) -> Iterator[float]:
    """Yield the 256 values of one block (`dequantize_row_q6_K`)."""
    scale = float(block[208:].view(np.float16)[0])
    scales = block[192:208].view(np.int8).tolist()
    low, high = block[:128].tolist(), block[128:192].tolist()
    for half in range(2):
        for quarter in range(4):
            for index in range(32):
                byte = low[64 * half + 32 * (quarter % 2) + index]
                nibble = byte >> 4 if quarter >= 2 else byte & 15
                upper = high[32 * half + index] >> 2 * quarter & 3
                yield scale * scales[8 * half + 2 * quarter + index // 16] * ((nibble | upper << 4) - 32)


def _scale_and_min(block: Block, packed: Block, index: int) -> tuple[float, float]:
    """Return a sub-block's scale and minimum out of their six bits each (`get_scale_min_k4`)."""
    whole_scale, whole_min = block[:4].view(np.float16).astype(np.float32).tolist()
    bytes_ = packed.tolist()
    if index < 4:
        return whole_scale * (bytes_[index] & 63), whole_min * (bytes_[index + 4] & 63)
    scale = (bytes_[index + 4] & 15) | bytes_[index - 4] >> 6 << 4
    minimum = bytes_[index + 4] >> 4 | bytes_[index] >> 6 << 4
    return whole_scale * scale, whole_min * minimum
