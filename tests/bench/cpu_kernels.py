"""What the CPU's kernels take on this machine: `python -m tests.bench.cpu_kernels [--threads N]`.

Decode attention over a cache of float32 and of float16, the 8-bit products of all matrices of SmolLM2-135M by the
number of rows, and an iteration of 30 blocks so small that what it takes is Python's, in one call a block and part by
part. What is compared takes turns, so that a slow moment meets both; medians.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest.mock import patch

import torch
from sarathi_kernels.backend import AttentionMetadata, LayerCache
from sarathi_kernels.cpu import CPUAttention
from sarathi_kernels.layers import CPULayers, TorchLayers
from sarathi_kernels.quantized import Quantization

from tests.kernels.host_memory import host_memory
from tests.models.paged_model import PagedModel, Share
from tests.models.tiny import save_tiny_model

NUM_TURNS = 15
NUM_LAYERS = 30
NUM_HEADS, NUM_KV_HEADS, HEAD_DIM, BLOCK_SIZE = 9, 3, 64, 16
DECODES = ((1, 300), (8, 300), (32, 300), (8, 1500))  # streams, and the context of each
MATRICES = (*((960, 576), (576, 576), (3072, 576), (576, 1536)) * NUM_LAYERS, (49_152, 576))
NUM_ITERATIONS = 10  # at a time
NUM_ROWS = (1, 4, 8, 16, 32, 128)


def medians_s(candidates: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the seconds that each takes, called in turn."""
    taken_s: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(NUM_TURNS):
        for name, run in candidates.items():
            began_s = time.perf_counter()
            run()
            taken_s[name].append(time.perf_counter() - began_s)
    return {name: statistics.median(found) for name, found in taken_s.items()}


def decoding(
    attention: CPUAttention, num_streams: int, context_len: int, kv_dtype: torch.dtype
) -> Callable[[], object]:
    """Return what attends in all layers for streams whose blocks lie all over a cache."""
    blocks_each = -(-context_len // BLOCK_SIZE)
    shape = (NUM_LAYERS, 2, num_streams * blocks_each, NUM_KV_HEADS, BLOCK_SIZE, HEAD_DIM)
    values = torch.empty(shape, dtype=kv_dtype).copy_(torch.randn(shape[2:])).transpose(3, 4)
    metadata = AttentionMetadata(
        query_start=torch.arange(num_streams + 1, dtype=torch.int32),
        context_lens=torch.full((num_streams,), context_len, dtype=torch.int32),
        block_tables=torch.randperm(num_streams * blocks_each).to(torch.int32).view(num_streams, -1),
        slot_mapping=torch.zeros(num_streams, dtype=torch.int64),
        num_output_queries=torch.ones(num_streams, dtype=torch.int32),
        max_query_len=1,
        max_context_len=context_len,
        num_decodes=num_streams,
    )
    q = torch.randn(num_streams, NUM_HEADS, HEAD_DIM)
    caches = [LayerCache(layer[0], layer[1]) for layer in values]
    return lambda: [attention.attend(q, cache, metadata) for cache in caches]


def show_attention(directory: Path) -> None:
    attention = CPUAttention(directory)
    formats = {"float32": torch.float32} | ({"float16": torch.float16} if attention.has_halves else {})
    print(f"decode attention, {NUM_LAYERS} layers     " + "".join(f"{name:>12}" for name in formats))
    for num_streams, context_len in DECODES:
        found = medians_s({name: decoding(attention, num_streams, context_len, kv) for name, kv in formats.items()})
        figures = "".join(f"{seconds * 1e3:9.2f} ms" for seconds in found.values())
        print(f"  {num_streams:3} streams at {context_len:5} tokens {figures}")


def show_products(directory: Path) -> None:
    layers = CPULayers(directory)
    matrices = [layers.make_quantized(Quantization.INT8, *shape, host_memory) for shape in MATRICES]
    for matrix in matrices:
        matrix.scales.fill_(1.0)
    num_products = sum(num_columns * depth for num_columns, depth in MATRICES)
    print("8-bit products of all matrices")
    for num_rows in NUM_ROWS:
        inputs = {depth: torch.randn(num_rows, depth) for _, depth in set(MATRICES)}

        def multiply(inputs: dict[int, torch.Tensor] = inputs) -> None:
            for matrix, (_, depth) in zip(matrices, MATRICES, strict=True):
                layers.multiply_quantized(inputs[depth], matrix)

        (seconds,) = medians_s({"": multiply}).values()
        print(f"  {num_rows:3} rows {seconds * 1e3:9.1f} ms {num_rows * num_products / seconds / 1e9:7.1f} GMAC/s")


def show_calls(directory: Path, scratch: Path) -> None:
    save_tiny_model(scratch, num_hidden_layers=NUM_LAYERS)

    def decode() -> Callable[[], object]:
        model = PagedModel(scratch, directory, num_sequences=1, quantization=Quantization.INT8)

        def run() -> None:
            for _ in range(NUM_ITERATIONS):
                model.run([Share(0, (5,), 0, 1)])

        run()  # decides here whether a block is one call
        return run

    whole = decode()
    with patch.object(CPULayers, "in_one_call", TorchLayers.in_one_call):
        parts = decode()
    found = medians_s({"one call a block": whole, "part by part": parts})
    print(f"an iteration of {NUM_LAYERS} tiny blocks")
    for name, seconds in found.items():
        print(f"  {name:16} {seconds * 1e3 / NUM_ITERATIONS:9.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), metavar="N")
    torch.set_num_threads(parser.parse_args().threads)
    with tempfile.TemporaryDirectory(prefix="kernels-") as compiled, tempfile.TemporaryDirectory() as scratch:
        show_attention(Path(compiled))
        show_products(Path(compiled))
        show_calls(Path(compiled), Path(scratch))


if __name__ == "__main__":
    main()
