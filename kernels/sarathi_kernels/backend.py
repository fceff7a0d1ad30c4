"""The seam between a model and its attention kernels: one call for a mixed batch over a paged KV cache."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class LayerCache:
    """One layer's keys and values, each [num_blocks, block_size, num_kv_heads, head_dim].

    On CPU they may be in fewer bits than what is computed with them.
    """

    k: Tensor
    v: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionMetadata:
    """Where each sequence's queries and its context lie.

    Sequence s has the queries [query_start[s], query_start[s + 1]), the last of which stands at
    position `context_lens[s]` - 1; query i attends to every position up to its own, and with a
    `sliding_window` w only to the last w of them, itself included: blocks that lie before every window
    may hold another sequence's positions by now. Position p of a sequence lies in
    block `block_tables[s, p // block_size]`, at p % block_size. A token's own key and value go to
    `slot_mapping`, block * block_size + offset. The first `num_decodes` sequences have one query each;
    a backend that treats decodes apart learns of them here, with no look at what lies on the device.

    The last `num_output_queries[s]` queries of a sequence are of its output. A backend that sums a decode's
    attention in another order than a chunk's can give them, whatever is computed with them, the bits of decodes,
    and all others those of chunks: so no answer depends on how it was cut into iterations.
    """

    query_start: Tensor  # [num_seqs + 1] int32
    context_lens: Tensor  # [num_seqs] int32
    block_tables: Tensor  # [num_seqs, max_blocks] int32; entries behind the context are never read
    slot_mapping: Tensor  # [num_tokens] int64
    num_output_queries: Tensor  # [num_seqs] int32
    max_query_len: int
    max_context_len: int
    sliding_window: int | None = None
    num_decodes: int = 0


class AttentionBackend(Protocol):
    """One way of computing attention; `name` is what an operator reads.

    A CUDA graph can hold what `can_be_captured`: it never waits on the host for what lies on the device.
    """

    can_be_captured: bool = False

    @property
    def name(self) -> str: ...

    def store(self, k: Tensor, v: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> None:
        """Put `k` and `v` [num_tokens, num_kv_heads, head_dim] into their slots."""
        ...

    def attend(self, q: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> Tensor:
        """Return softmax(q k^T / sqrt(head_dim)) v, shaped like `q` [num_tokens, num_heads, head_dim].

        Head h of q reads KV head h // (num_heads // num_kv_heads).
        """
        ...
