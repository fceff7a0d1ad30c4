"""Small problems on which kernels must agree with the reference before they are taken."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from sarathi_kernels.layers import LayerKernels, TorchLayers
from sarathi_kernels.reference import ReferenceAttention
from sarathi_kernels.sampling import DrawKernel, DrawParameters

_TOLERANCE = 2e-2  # of a half-precision kernel against the float32 softmax of the reference
_NUM_QUERIES = (1, 5, 3)
_CONTEXTS = (300, 5, 40)
_NUM_OUTPUT_QUERIES = (1, 0, 2)
_NUM_HEADS, _NUM_KV_HEADS = 6, 2


class BackendUnavailable(Exception):
    """This machine, device, head size or block size is not for those kernels; the message says why."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Queries, a cache and where they lie; blocks are taken in reverse order, the last ones partly full."""

    q: Tensor  # [num_tokens, num_heads, head_dim]
    cache: LayerCache
    metadata: AttentionMetadata


def check(backend: AttentionBackend, probe: Probe) -> None:
    """Raise `BackendUnavailable` when the backend refuses the probe or gives other numbers than the reference."""
    try:
        found = backend.attend(probe.q, probe.cache, probe.metadata)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise BackendUnavailable(f"{backend.name} refuses blocks of {probe.cache.k.shape[1]}: {reason}") from error
    expected = ReferenceAttention().attend(probe.q, probe.cache, probe.metadata)
    if not torch.allclose(found, expected, atol=_TOLERANCE, rtol=_TOLERANCE):
        raise BackendUnavailable(f"{backend.name} gives wrong results with blocks of {probe.cache.k.shape[1]}")


def make_probe(device: torch.device, dtype: torch.dtype, head_dim: int, block_size: int) -> Probe:
    """Return a decode and two chunks of 6 heads over 2 KV heads."""
    generator = torch.Generator(device).manual_seed(0)
    num_blocks_each = [-(-context // block_size) for context in _CONTEXTS]
    num_blocks = sum(num_blocks_each)
    block_tables = torch.zeros(len(_CONTEXTS), max(num_blocks_each), dtype=torch.int32)
    remaining = torch.split(torch.arange(num_blocks - 1, -1, -1, dtype=torch.int32), num_blocks_each)
    for row, blocks in zip(block_tables, remaining, strict=True):
        row[: len(blocks)] = blocks
    shape = (2, num_blocks, block_size, _NUM_KV_HEADS, head_dim)
    k, v = torch.randn(shape, generator=generator, device=device, dtype=dtype)
    metadata = AttentionMetadata(
        query_start=torch.tensor((0, *_NUM_QUERIES)).cumsum(0).to(device, torch.int32),
        context_lens=torch.tensor(_CONTEXTS, dtype=torch.int32, device=device),
        block_tables=block_tables.to(device),
        slot_mapping=torch.zeros(0, dtype=torch.int64, device=device),
        num_output_queries=torch.tensor(_NUM_OUTPUT_QUERIES, dtype=torch.int32, device=device),
        max_query_len=max(_NUM_QUERIES),
        max_context_len=max(_CONTEXTS),
        num_decodes=1,
    )
    q = torch.randn(sum(_NUM_QUERIES), _NUM_HEADS, head_dim, generator=generator, device=device, dtype=dtype)
    return Probe(q, LayerCache(k, v), metadata)


def check_layers(layers: LayerKernels, device: torch.device, dtype: torch.dtype, head_dim: int) -> None:
    """Raise `BackendUnavailable` when the operations of a layer fail or give other numbers than torch's."""
    generator = torch.Generator(device).manual_seed(0)
    x, update, weight = torch.randn(3, 4, 2 * head_dim, generator=generator, device=device, dtype=dtype)
    angles = torch.randn(4, head_dim // 2, generator=generator, device=device)

    def results(of: LayerKernels) -> tuple[Tensor, ...]:
        heads = x.clone().view(4, 2, head_dim)
        of.rotate(heads, angles.cos(), angles.sin())
        added = of.add_and_normalize(x, update, weight[0], 1e-5)
        return heads, of.normalize(x, weight[0], 1e-5), *added, of.gate(x)

    try:
        found = results(layers)
    except RuntimeError as error:
        raise BackendUnavailable(f"a layer's kernels fail: {str(error).partition(chr(10))[0]}") from error
    for ours, expected in zip(found, results(TorchLayers()), strict=True):
        if not torch.allclose(ours, expected, atol=_TOLERANCE, rtol=_TOLERANCE):
            raise BackendUnavailable("a layer's kernels give wrong results")


def check_draw(draw: DrawKernel, device: torch.device) -> None:
    """Raise `BackendUnavailable` when a kernel that draws fails, or draws what it must not.

    Where one token holds 0.9 of the weight, greedy, top-k 1 and top-p 0.5 all draw that one.
    """
    logits = torch.zeros(4, 1000, device=device)
    best = torch.tensor([7, 0, 999, 500], device=device)
    logits.scatter_(1, best.unsqueeze(1), math.log(9000.0))
    logits[3, 3] = torch.nan

    def tensor(*values: float) -> Tensor:
        return torch.tensor(values, device=device)

    parameters = DrawParameters(
        temperature=tensor(0.0, 1.0, 1.0, 1.0),
        top_k=torch.tensor([1000, 1, 1000, 1000], dtype=torch.int32, device=device),
        top_p=tensor(1.0, 1.0, 0.5, 1.0),
        min_p=tensor(0.0, 0.0, 0.0, 0.0),
        share=tensor(0.5, 0.99, 0.99, 0.5),
    )
    try:
        token_ids, is_number = draw(logits, parameters)
    except RuntimeError as error:
        raise BackendUnavailable(f"the drawing kernel fails: {str(error).partition(chr(10))[0]}") from error
    if token_ids[:3].tolist() != best[:3].tolist() or is_number.tolist() != [True, True, True, False]:
        raise BackendUnavailable("the drawing kernel gives wrong tokens")
