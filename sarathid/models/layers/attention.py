"""Grouped-query attention over the paged KV cache."""

from collections.abc import Iterator

from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from torch import Tensor

from sarathid.models.layers.context import LayerContext
from sarathid.models.layers.linear import CheckpointTensor, Linear
from sarathid.models.model_config import ModelConfig


class Attention:
    """Projects to q, k and v, turns q and k, stores k and v in their slots, attends, projects back."""

    def __init__(self, config: ModelConfig, context: LayerContext) -> None:
        self._num_heads = config.num_heads
        self._num_kv_heads = config.num_kv_heads
        self._head_dim = config.head_dim
        self._kernels = context.kernels
        q_size, kv_size = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        self._qkv_proj = Linear(config.hidden_size, (q_size, kv_size, kv_size), config.has_qkv_bias, context)
        self._o_proj = Linear(q_size, (config.hidden_size,), config.has_output_bias, context)

    def __call__(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor],
        cache: LayerCache,
        metadata: AttentionMetadata,
        backend: AttentionBackend,
    ) -> Tensor:
        """Return [num_tokens, hidden_size] for `x` [num_tokens, hidden_size]."""
        heads = self._qkv_proj(x).view(len(x), -1, self._head_dim)
        first_k, first_v = self._num_heads, self._num_heads + self._num_kv_heads
        self._kernels.rotate(heads[:, :first_v], *rotation)
        backend.store(heads[:, first_k:first_v], heads[:, first_v:], cache, metadata)
        return self._o_proj(backend.attend(heads[:, :first_k], cache, metadata).flatten(1))

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        """Yield this layer's tensors by the checkpoint's names."""
        yield from self._qkv_proj.checkpoint_tensors(*(f"{prefix}.{name}_proj" for name in "qkv"))
        yield from self._o_proj.checkpoint_tensors(f"{prefix}.o_proj")
