"""Checks the kernels on this machine's GPU and measures a model of Mistral-7B's shape; prints one table.

Run by `make gpu-check`. With `--device cpu` the same checks run small, so that they are known to work.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from sarathid.config import DEFAULT_MODEL
from tests.gpu.figures import CONTEXTS, MISTRAL_7B, measure_device, measure_iterations
from tests.gpu.kernels import check_attention, check_layers_and_draw
from tests.gpu.layouts import LAYOUTS, check_layout
from tests.gpu.parity import check_parity
from tests.gpu.report import Row, Verdict, exit_code, table

CHECKS = ("kernels against the reference", "greedy tokens of transformers", "iterations of Mistral-7B's shape")
NOT_BUILT = (
    ("iterations in CUDA graphs", "the engine captures none yet"),
    ("stall-free against prefill-first on sharegpt4", "run `sarathictl bench capacity` on a daemon"),
    ("transformers' continuous batching on the same prompts", "no comparison is built yet"),
)
SMALL = {
    **MISTRAL_7B,
    "vocab_size": 1000,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
}


def check(device: torch.device, model: str) -> Iterator[Row]:
    """Yield what is found on `device`, at the size that suits it."""
    is_gpu = device.type == "cuda"
    dtypes = (torch.float32, torch.bfloat16) if is_gpu else (torch.float32,)
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
        for name in ("kernels", "dummy"):
            (Path(scratch) / name).mkdir(mode=0o700)
        for dtype in dtypes:
            yield from check_attention(device, dtype, Path(scratch) / "kernels")
            yield from check_layers_and_draw(device, dtype, Path(scratch) / "kernels")
        yield check_parity(device, 64 if is_gpu else 4, model, Path(scratch) / "exported")
        for layout in LAYOUTS:
            yield check_layout(device, layout, Path(scratch) / "tiny")
        speed = measure_device(device, dtypes[-1], (4 << 30) if is_gpu else (64 << 20), 8192 if is_gpu else 256)
        words = f"{speed.bytes_per_s / 1e9:.0f} GB/s, {speed.flops_per_s / 1e12:.2f} Tflop/s in {dtypes[-1]}"
        yield Row("what the device reads and multiplies", Verdict.MEASURED, words)
        fields, contexts = (MISTRAL_7B, CONTEXTS) if is_gpu else (SMALL, CONTEXTS[:1])
        yield from measure_iterations(device, "auto", fields, contexts, speed, Path(scratch) / "dummy")
    for what, words in NOT_BUILT:
        yield Row(what, Verdict.NOT_AVAILABLE, words)


def without_gpu() -> list[Row]:
    """Return a row for everything that wants a GPU."""
    layouts = (f"greedy tokens over {layout}" for layout in LAYOUTS)
    whats = (*CHECKS, *layouts, *(what for what, _ in NOT_BUILT))
    return [Row(what, Verdict.NOT_AVAILABLE, "torch finds no CUDA device") for what in whats]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="whose greedy tokens are compared")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        rows = without_gpu()
    else:
        rows = list(check(device, arguments.model))
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"torch {torch.__version__}, {name}")
    print(table(rows))
    sys.exit(exit_code(rows))


if __name__ == "__main__":
    main()
