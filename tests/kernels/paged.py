"""Builds paged attention problems, with every slot that nobody may read poisoned."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from sarathi_kernels.backend import AttentionMetadata, LayerCache
from torch import Tensor


@dataclass(frozen=True)
class SequenceShape:
    """`num_queries` tokens that stand at the end of `context_len` positions, the last `num_output` of them output."""

    num_queries: int
    context_len: int
    num_output: int = 0


@dataclass(frozen=True)
class Problem:
    """Queries, a cache whose unused slots are NaN, and where everything lies."""

    q: Tensor  # [num_tokens, num_heads, head_dim]
    cache: LayerCache
    metadata: AttentionMetadata

    def only(self, index: int) -> "Problem":
        """Return the problem of one of the sequences alone."""
        start, end = self.metadata.query_start[index : index + 2].tolist()
        context_lens = self.metadata.context_lens[index : index + 1]
        metadata = replace(
            self.metadata,
            query_start=torch.tensor([0, end - start], dtype=torch.int32),
            context_lens=context_lens,
            block_tables=self.metadata.block_tables[index : index + 1],
            slot_mapping=self.metadata.slot_mapping[start:end],
            num_output_queries=self.metadata.num_output_queries[index : index + 1],
            max_query_len=end - start,
            max_context_len=int(context_lens[0]),
        )
        return Problem(self.q[start:end], self.cache, metadata)


def make_problem(
    shapes: Sequence[SequenceShape],
    *,
    num_heads: int = 6,
    num_kv_heads: int = 2,
    head_dim: int = 64,
    block_size: int = 16,
    sliding_window: int | None = None,
    dtype: torch.dtype = torch.float32,
    kv_dtype: torch.dtype | None = None,
    seed: int = 0,
) -> Problem:
    """Return a problem whose blocks are taken in random order; its cache is in `kv_dtype`, by default the same."""
    generator = torch.Generator().manual_seed(seed)
    num_blocks_each = [-(-shape.context_len // block_size) for shape in shapes]
    num_blocks = sum(num_blocks_each) + 3
    free = torch.randperm(num_blocks, generator=generator).to(torch.int32)
    block_tables = torch.full((len(shapes), max(num_blocks_each) + 2), num_blocks + 1000, dtype=torch.int32)
    caches = torch.full((2, num_blocks, block_size, num_kv_heads, head_dim), torch.nan, dtype=dtype)
    slots = []
    for row, (shape, count) in enumerate(zip(shapes, num_blocks_each, strict=True)):
        block_tables[row, :count], free = free[:count], free[count:]
        positions = torch.arange(shape.context_len)
        its_slots = block_tables[row].long()[positions // block_size] * block_size + positions % block_size
        drawn = torch.randn(2, shape.context_len, num_kv_heads, head_dim, generator=generator, dtype=dtype)
        caches.flatten(1, 2)[:, its_slots] = drawn
        slots.append(its_slots[shape.context_len - shape.num_queries :])
    lengths = torch.tensor([0, *(shape.num_queries for shape in shapes)])
    caches = caches.to(kv_dtype or dtype)
    return Problem(
        q=torch.randn(int(lengths.sum()), num_heads, head_dim, generator=generator, dtype=dtype),
        cache=LayerCache(caches[0], caches[1]),
        metadata=AttentionMetadata(
            query_start=lengths.cumsum(0).to(torch.int32),
            context_lens=torch.tensor([shape.context_len for shape in shapes], dtype=torch.int32),
            block_tables=block_tables,
            slot_mapping=torch.cat(slots),
            num_output_queries=torch.tensor([shape.num_output for shape in shapes], dtype=torch.int32),
            max_query_len=max(shape.num_queries for shape in shapes),
            max_context_len=max(shape.context_len for shape in shapes),
            sliding_window=sliding_window,
        ),
    )


def forget_before_windows(problem: Problem) -> Problem:
    """Return the same problem with every position that lies before its sequence's first window poisoned."""
    metadata, window = problem.metadata, problem.metadata.sliding_window
    assert window is not None
    k, v = problem.cache.k.clone(), problem.cache.v.clone()
    num_queries = metadata.query_start.diff()
    for table, context_len, count in zip(metadata.block_tables, metadata.context_lens, num_queries, strict=True):
        positions = torch.arange(max(0, int(context_len - count) + 1 - window))
        slots = table.long()[positions // k.shape[1]], positions % k.shape[1]
        k[slots] = v[slots] = torch.nan
    return replace(problem, cache=LayerCache(k, v))


def heads_first(problem: Problem) -> Problem:
    """Return the same problem over a cache that holds each head's positions side by side."""
    k, v = (tensor.transpose(1, 2).contiguous().transpose(1, 2) for tensor in (problem.cache.k, problem.cache.v))
    return replace(problem, cache=LayerCache(k, v))
