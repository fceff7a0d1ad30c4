"""What launching an iteration of decodes as one graph gains: numbers, seconds, and how long the device idles."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from sarathid.clock import MonotonicClock
from sarathid.executor.model_runner import ModelRunner
from sarathid.executor.profiler import BatchShape, made_up_batch
from sarathid.scheduler.batch import ScheduledBatch
from tests.gpu.figures import NUM_DECODES, lack_of_blocks
from tests.gpu.mistral import Loaded
from tests.gpu.report import Row, Verdict

NUM_RUNS = 10
TOLERANCE = 2e-2  # of the largest logit


@dataclass(frozen=True, slots=True)
class Iterations:
    """Medians of some iterations: from the batch to its tokens, and until the host has launched the pass."""

    seconds: float
    launch_s: float


def check_graphs(model: Loaded, context_len: int) -> Iterator[Row]:
    """Yield whether decodes were captured, then for each number of them the logits and the times with and without."""
    device = torch.device(model.info.device)
    notes = [note for note in model.info.notes if "CUDA graphs" in note]
    is_captured = any("run as one" in note for note in notes)
    yield Row("decodes captured", Verdict.PASSED if is_captured else Verdict.FAILED, "; ".join(notes) or "no note")
    for num_decodes in NUM_DECODES if is_captured else ():
        shape, what = BatchShape(num_decodes, context_len), f"{num_decodes} decodes of {context_len} in a graph"
        lack = lack_of_blocks(model, shape)
        if lack is None and num_decodes > model.config.max_num_seqs:
            lack = f"at most {model.config.max_num_seqs} were captured"
        if lack is not None:
            yield Row(what, Verdict.NOT_AVAILABLE, lack)
            continue
        batch = made_up_batch(shape, model.info.block_size)
        yield _logits_row(model.executor.runner, batch, f"logits of {what}")
        yield _times_row(model.executor.runner, batch, what, device)


def _logits_row(runner: ModelRunner, batch: ScheduledBatch, what: str) -> Row:
    found, expected = runner.logits(batch), runner.logits(batch, eagerly=True)
    difference = float((found - expected).abs().max() / expected.abs().max())
    is_right = difference <= TOLERANCE  # which a NaN is not
    return Row(what, Verdict.PASSED if is_right else Verdict.FAILED, f"{difference:.1e} of the largest apart, at most")


def _times_row(runner: ModelRunner, batch: ScheduledBatch, what: str, device: torch.device) -> Row:
    graph, plain = (_iterations(runner, batch, eagerly) for eagerly in (False, True))
    device_s = _device_s(runner, batch, device)
    idles = [max(0.0, 1.0 - device_s / found.seconds) for found in (graph, plain)]
    words = (
        f"{graph.seconds * 1e3:.2f} ms, {plain.seconds * 1e3:.2f} one by one; launched in {graph.launch_s * 1e3:.2f} "
        f"and {plain.launch_s * 1e3:.2f} ms; the pass takes the device {device_s * 1e3:.2f} ms, "
        f"{idles[0]:.0%} and {idles[1]:.0%} of the iteration are no pass"
    )
    return Row(what, Verdict.MEASURED, words)


def _iterations(runner: ModelRunner, batch: ScheduledBatch, eagerly: bool) -> Iterations:
    clock = MonotonicClock()
    seconds, launches_s = [], []
    for _ in range(1 + NUM_RUNS):
        start_s = clock.now_s()
        inputs = runner.inputs(batch, eagerly=eagerly)
        hidden = runner.forward(inputs, None)
        launches_s.append(clock.now_s() - start_s)
        runner.draw(inputs, hidden)  # which waits for the device
        seconds.append(clock.now_s() - start_s)
    return Iterations(median(seconds[1:]), median(launches_s[1:]))


def _device_s(runner: ModelRunner, batch: ScheduledBatch, device: torch.device) -> float:
    """Return what a captured pass takes the device, whose next one is always launched before it ends."""
    inputs = runner.inputs(batch)
    wait: Callable[[], object] = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    runner.forward(inputs, None)
    wait()
    clock, kept = MonotonicClock(), list[Tensor]()
    start_s = clock.now_s()
    for _ in range(NUM_RUNS):
        kept.append(runner.forward(inputs, None))
    wait()
    return (clock.now_s() - start_s) / NUM_RUNS
