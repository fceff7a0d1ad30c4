"""Checks the kernels on this machine's GPU and measures a model of Mistral-7B's shape; prints a row for each thing.

Run by `make gpu-check`. With `--device cpu` the same checks run small, so that they are known to work. Where `OUT` is
set, the cost profile that was measured is left in that folder.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sarathid.clock import MonotonicClock
from sarathid.config import DEFAULT_MODEL
from tests.gpu.parts import NotAvailable, Outcome, Part, give_memory_back, run_parts
from tests.gpu.report import Row, Verdict, counts, exit_code, worst_code

if TYPE_CHECKING:
    from tests.gpu.figures import Device
    from tests.gpu.mistral import Loaded

LIMIT_S = 480.0
PATIENCE_ON_CPU = 4.0  # times the limits: nobody lends a CPU by the minute
# What is right comes first, then what is fast; seconds that each part may take.
LIMITS_S = {
    "a layer's operations and draws": 50.0,
    "attention against the reference": 110.0,
    "greedy tokens of transformers": 40.0,
    "greedy tokens over several ranks": 60.0,
    "iterations of Mistral-7B's shape": 75.0,
    "iterations in CUDA graphs": 30.0,
    "a cost profile": 40.0,
    "all at once by sarathid": 30.0,
    "stall-free against prefill-first on sharegpt4": 100.0,
    "all at once by transformers": 70.0,
}


class Check:
    """All that is looked at on one device, with what one part leaves to the next.

    What a part needs is imported as it runs: on a machine without some package the others run all the same.
    """

    def __init__(self, device: torch.device, model: str, scratch: Path, resources: ExitStack) -> None:
        self._device = device
        self._is_gpu = device.type == "cuda"
        self._dtypes = (torch.bfloat16, torch.float32) if self._is_gpu else (torch.float32,)
        self._model = model
        self._scratch = scratch
        self._resources = resources
        self._mistral: Loaded | None = None
        self._prompts: list[list[int]] = []

    def parts(self) -> tuple[Part, ...]:
        """Return the parts in order."""
        rows = (
            self._layers,
            self._attention,
            self._parity,
            self._layouts,
            self._iterations,
            self._graphs,
            self._profile,
            self._at_once,
            self._capacity,
            self._transformers,
        )
        patience = 1.0 if self._is_gpu else PATIENCE_ON_CPU
        return tuple(Part(what, patience * LIMITS_S[what], part) for what, part in zip(LIMITS_S, rows, strict=True))

    def _layers(self, limit_s: float) -> Iterator[Row]:
        from tests.gpu.kernels import check_layers_and_draw

        for dtype in self._dtypes:
            yield from check_layers_and_draw(self._device, dtype, self._folder("kernels"))

    def _attention(self, limit_s: float) -> Iterator[Row]:
        from tests.gpu.kernels import check_attention

        for dtype in self._dtypes:
            yield from check_attention(self._device, dtype, self._folder("kernels"))

    def _parity(self, limit_s: float) -> Iterator[Row]:
        from tests.gpu.parity import check_parity, check_random_parity

        num_tokens = 64 if self._is_gpu else 4
        yield check_random_parity(self._device, num_tokens, self._folder("random"))
        yield check_parity(self._device, num_tokens, self._model, self._folder("exported"))

    def _layouts(self, limit_s: float) -> Iterator[Row]:
        from tests.gpu.layouts import LAYOUTS, check_layout

        for layout in LAYOUTS:
            yield check_layout(self._device, layout, self._folder("tiny"))

    def _iterations(self, limit_s: float) -> Iterator[Row]:
        from tests.gpu.figures import CONTEXTS, measure_iterations

        speed = self._speed()
        words = f"{speed.bytes_per_s / 1e9:.0f} GB/s, {speed.flops_per_s / 1e12:.2f} Tflop/s in {self._dtypes[0]}"
        yield Row("what the device reads and multiplies", Verdict.MEASURED, words)
        yield from measure_iterations(self._loaded, CONTEXTS if self._is_gpu else CONTEXTS[:1], speed)

    def _speed(self) -> "Device":
        from tests.gpu.figures import measure_device

        num_bytes, side = (4 << 30, 8192) if self._is_gpu else (64 << 20, 256)
        speed = measure_device(self._device, self._dtypes[0], num_bytes, side)
        if self._is_gpu:
            torch.cuda.empty_cache()  # what was read is not to be missing in the KV cache
        return speed

    def _graphs(self, limit_s: float) -> Iterator[Row]:
        from tests.gpu.graphs import check_graphs

        for context_len in (512, 4096) if self._is_gpu else (64,):
            yield from check_graphs(self._loaded, context_len)

    def _profile(self, limit_s: float) -> Iterable[Row]:
        from tests.gpu.profile import measure_profile

        return measure_profile(self._loaded, limit_s)

    def _at_once(self, limit_s: float) -> Iterable[Row]:
        from tests.gpu.at_once import make_prompts, measure_ours

        self._prompts = make_prompts(self._loaded)
        return measure_ours(self._loaded, self._prompts)

    def _capacity(self, limit_s: float) -> Iterable[Row]:
        from tests.gpu.capacity import measure_capacities

        return measure_capacities(self._loaded, limit_s if self._is_gpu else 20.0)

    def _transformers(self, limit_s: float) -> Iterable[Row]:
        from tests.gpu.at_once import measure_transformers
        from tests.gpu.mistral import MISTRAL_7B, SMALL

        if not self._prompts:
            raise NotAvailable("there is nothing of ours to compare it with")
        self._mistral = None
        self._resources.close()
        give_memory_back()  # the device holds one of the models at a time
        return measure_transformers(self._device, MISTRAL_7B if self._is_gpu else SMALL, self._prompts)

    @property
    def _loaded(self) -> "Loaded":
        """The model of Mistral-7B's shape, started by the first part that wants it."""
        from tests.gpu.mistral import loaded

        if self._mistral is None:
            self._mistral = self._resources.enter_context(loaded(self._device, self._scratch))
        return self._mistral

    def _folder(self, name: str) -> Path:
        folder = self._scratch / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder


def check(device: torch.device, model: str, limit_s: float, first: int = 0) -> Outcome:
    """Print what is found on `device`, at the size that suits it, by the parts from number `first` on."""

    def answers() -> bool:
        try:
            torch.zeros(1, device=device).item()
        except RuntimeError:
            return False
        return True

    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch, ExitStack() as resources:
        parts = Check(device, model, Path(scratch), resources).parts()[first:]
        return run_parts(parts, limit_s, MonotonicClock(), lambda row: print(row, flush=True), answers)


def go_on(arguments: argparse.Namespace, outcome: Outcome) -> int:
    """Have a process of its own run the parts behind the one that lost the device; returns its exit code."""
    options = {"--device": arguments.device, "--model": arguments.model, "--limit": outcome.left_s}
    options["--first"] = arguments.first + outcome.num_run
    print("the device is lost to this process; another goes on", flush=True)
    command = [sys.executable, "-m", "tests.gpu.check", *(str(word) for pair in options.items() for word in pair)]
    return subprocess.run(command, check=False).returncode


def without_gpu() -> list[Row]:
    """Return a row for everything that wants a GPU."""
    return [Row(what, Verdict.NOT_AVAILABLE, "torch finds no CUDA device") for what in LIMITS_S]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="whose greedy tokens are compared")
    parser.add_argument("--limit", type=float, default=None, help=f"seconds for all of it [{LIMIT_S:.0f} on CUDA]")
    parser.add_argument("--first", type=int, default=0, help="the number of the part to begin with")
    arguments = parser.parse_args()
    device, has_gpu = torch.device(arguments.device), torch.cuda.is_available()
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name() if has_gpu else 'no GPU'}", flush=True)
    if device.type == "cuda" and not has_gpu:
        outcome = Outcome(without_gpu(), len(LIMITS_S), 0.0)
        print(*outcome.rows, sep="\n")
    else:
        limit_s = LIMIT_S if device.type == "cuda" else PATIENCE_ON_CPU * LIMIT_S
        outcome = check(device, arguments.model, arguments.limit or limit_s, arguments.first)
    print(counts(outcome.rows), flush=True)
    codes = [exit_code(outcome.rows)]
    if arguments.first + outcome.num_run < len(LIMITS_S):
        codes.append(go_on(arguments, outcome))
    sys.exit(worst_code(codes))


if __name__ == "__main__":
    main()
