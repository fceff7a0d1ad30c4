"""Grouped-query attention over the paged KV cache."""

from collections.abc import Iterator

from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from torch import Tensor

from sarathid.models.layers.checkpoint import CheckpointTensor
from sarathid.models.layers.context import LayerContext
from sarathid.models.layers.linear import Linear
from sarathid.models.layers.norm import RMSNorm
from sarathid.models.model_config import ModelConfig
from sarathid.models.shard import Shard
from sarathid.models.share import ModelShare


class Attention:
    """Projects to q, k and v, turns q and k, stores k and v in their slots, attends, projects back.

    That is done with this rank's heads; only the projection back is of all ranks' together.
    """

    def __init__(self, share: ModelShare, context: LayerContext) -> None:
        config = share.config
        self._num_heads = share.heads.length
        self._num_kv_heads = share.kv_heads.length
        self._head_dim = config.head_dim
        self._kernels = context.kernels
        hidden = Shard.whole(config.hidden_size)
        q, kv = share.heads.times(config.head_dim), share.kv_heads.times(config.head_dim)
        self.qkv_proj = Linear(hidden, (q, kv, kv), config.has_qkv_bias, context)
        self.o_proj = Linear(q, (hidden,), config.has_output_bias, context)
        self._qk_norm = _QKNorm(config, context) if config.has_qk_norm else None
        self.is_plain = self._qk_norm is None  # projections, rotation and attention, and nothing more

    def __call__(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor],
        cache: LayerCache,
        metadata: AttentionMetadata,
        backend: AttentionBackend,
    ) -> Tensor:
        """Return [num_tokens, hidden_size] for `x` [num_tokens, hidden_size]."""
        return self.o_proj(self.attend(x, rotation, cache, metadata, backend))

    def attend(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor],
        cache: LayerCache,
        metadata: AttentionMetadata,
        backend: AttentionBackend,
    ) -> Tensor:
        """Return what is projected back, [num_tokens, this rank's heads * head_dim]."""
        heads = self.qkv_proj(x).view(x.shape[0], -1, self._head_dim)
        q, k, v = heads.split_with_sizes((self._num_heads, self._num_kv_heads, self._num_kv_heads), dim=1)
        if self._qk_norm is not None:
            self._qk_norm(q, k)
        self._kernels.rotate(heads.narrow(1, 0, self._num_heads + self._num_kv_heads), *rotation)
        backend.store(k, v, cache, metadata)
        return backend.attend(q, cache, metadata).flatten(1)

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        """Yield this layer's tensors by the names of Llama's checkpoints."""
        yield from self.qkv_proj.checkpoint_tensors(*(f"{prefix}.{name}_proj" for name in "qkv"))
        yield from self.o_proj.checkpoint_tensors(f"{prefix}.o_proj")
        if self._qk_norm is not None:
            yield from self._qk_norm.checkpoint_tensors(prefix)


class _QKNorm:
    """Normalizes every head of q and of k on its own (Qwen3)."""

    def __init__(self, config: ModelConfig, context: LayerContext) -> None:
        self._q_norm = RMSNorm(config.head_dim, config.norm_eps, context)
        self._k_norm = RMSNorm(config.head_dim, config.norm_eps, context)

    def __call__(self, q: Tensor, k: Tensor) -> None:
        """Change `q` and `k` [num_tokens, num_heads, head_dim] in place."""
        for norm, heads in ((self._q_norm, q), (self._k_norm, k)):
            heads.copy_(norm(heads.flatten(0, 1)).view(heads.shape))

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        yield from self._q_norm.checkpoint_tensors(f"{prefix}.q_norm")
        yield from self._k_norm.checkpoint_tensors(f"{prefix}.k_norm")
