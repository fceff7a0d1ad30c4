"""Every backend, operation and draw that a device has, against the reference on that device."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from sarathi_kernels.backend import AttentionBackend, LayerCache
from sarathi_kernels.probe import BackendUnavailable, check_draw, check_layers
from sarathi_kernels.reference import ReferenceAttention
from sarathi_kernels.select import KernelNeeds, Kernels, KernelUnavailable, select_kernels

from tests.gpu.report import Row, Verdict
from tests.kernels.paged import Problem, SequenceShape, make_problem

BACKENDS = {"cuda": ("triton", "flash-attn-4", "flash-attn", "torch-varlen"), "cpu": ("cpu", "torch")}
DECODES = (SequenceShape(1, 1), SequenceShape(1, 65), SequenceShape(1, 513), SequenceShape(1, 4000))
CHUNKS = (SequenceShape(5, 5), SequenceShape(130, 130), SequenceShape(2, 9), SequenceShape(200, 700))
HEAD_DIMS = {torch.bfloat16: (64, 80, 96, 128), torch.float32: (64, 128)}  # each is compiled anew
BLOCK_SIZES = (16, 64, 256)
WINDOWS = (None, 1, 300)
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 2e-2}


def check_attention(device: torch.device, dtype: torch.dtype, directory: Path) -> Iterator[Row]:
    """Yield a row for each backend and block size; compiled code is kept in `directory`."""
    for name in BACKENDS[device.type]:
        for block_size in BLOCK_SIZES:
            yield _check_backend(name, block_size, device, dtype, directory)


def _check_backend(name: str, block_size: int, device: torch.device, dtype: torch.dtype, directory: Path) -> Row:
    what = f"attention by {name}, blocks of {block_size}"
    worst = 0.0
    for head_dim in HEAD_DIMS[dtype]:
        needs = KernelNeeds(
            device=device, dtype=dtype, kv_dtype=dtype, head_dim=head_dim, block_size=block_size, directory=directory
        )
        try:
            backend = select_kernels(name, needs).attention
        except KernelUnavailable as error:
            return Row(what, Verdict.NOT_AVAILABLE, f"heads of {head_dim}: {error}")
        errors = [_error(backend, problem) for problem in _problems(head_dim, block_size, device, dtype)]
        worst = max([worst, *errors], key=lambda error: float("inf") if error != error else error)
    is_right = worst < TOLERANCES[dtype]  # which a NaN is not
    return Row(what, Verdict.PASSED if is_right else Verdict.FAILED, f"{dtype}, largest error {worst:.1e}")


def _problems(head_dim: int, block_size: int, device: torch.device, dtype: torch.dtype) -> Sequence[Problem]:
    """Return mixed batches with and without windows, unused slots poisoned, on `device`."""
    shapes = (*DECODES, *CHUNKS)

    def made(window: int | None) -> Problem:
        return make_problem(
            shapes,
            num_heads=32,
            num_kv_heads=8,
            head_dim=head_dim,
            block_size=block_size,
            sliding_window=window,
            dtype=dtype,
        )

    return [_on(device, made(window)) for window in WINDOWS]


def _on(device: torch.device, problem: Problem) -> Problem:
    metadata = problem.metadata
    moved = replace(
        metadata,
        query_start=metadata.query_start.to(device),
        context_lens=metadata.context_lens.to(device),
        block_tables=metadata.block_tables.to(device),
        slot_mapping=metadata.slot_mapping.to(device),
        num_decodes=len(DECODES),
    )
    cache = LayerCache(problem.cache.k.to(device), problem.cache.v.to(device))
    return Problem(problem.q.to(device), cache, moved)


def _error(backend: AttentionBackend, problem: Problem) -> float:
    expected = ReferenceAttention().attend(problem.q, problem.cache, problem.metadata)
    found = backend.attend(problem.q, problem.cache, problem.metadata)
    return float((found.float() - expected.float()).abs().max())


def check_layers_and_draw(device: torch.device, dtype: torch.dtype, directory: Path) -> Iterator[Row]:
    """Yield a row for what a device lacks, and one each for a layer's operations and for drawing."""
    needs = KernelNeeds(device=device, dtype=dtype, kv_dtype=dtype, head_dim=128, block_size=256, directory=directory)
    kernels = select_kernels("auto", needs)
    for note in kernels.notes:
        yield Row("what was chosen", Verdict.NOT_AVAILABLE, note)
    yield _check_layers(kernels, needs)
    if kernels.draw.device is None:
        yield Row("drawing tokens", Verdict.NOT_AVAILABLE, f"{device.type} draws on the host")
        return
    try:
        check_draw(kernels.draw.device, device)
    except BackendUnavailable as error:
        yield Row("drawing tokens", Verdict.FAILED, str(error))
    else:
        yield Row("drawing tokens", Verdict.PASSED, "greedy, top-k, top-p, NaN")


def _check_layers(kernels: Kernels, needs: KernelNeeds) -> Row:
    what = f"a layer's operations by {type(kernels.layers).__name__}"
    try:
        check_layers(kernels.layers, needs.device, needs.dtype, needs.head_dim)
    except BackendUnavailable as error:
        return Row(what, Verdict.FAILED, str(error))
    return Row(what, Verdict.PASSED, f"{needs.dtype}, against torch's")
