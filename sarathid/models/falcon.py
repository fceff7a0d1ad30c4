"""Falcon's decoder (Almazrouei et al. 2023): attention and feed-forward side by side, layer norms, few KV heads."""

from collections.abc import Iterator

import torch.nn.functional as F
from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from torch import Tensor

from sarathid.models.decoder import CheckpointNames, Decoder
from sarathid.models.layers.attention import Attention
from sarathid.models.layers.checkpoint import CheckpointTensor, FusedHeads
from sarathid.models.layers.context import LayerContext
from sarathid.models.layers.linear import Linear
from sarathid.models.layers.norm import LayerNorm
from sarathid.models.model_config import FalconConfig, ModelConfig

_NAMES = CheckpointNames(
    embedding="transformer.word_embeddings.weight", blocks="transformer.h", norm="transformer.ln_f"
)
_ONE_NORM = ("input_layernorm",)
_TWO_NORMS = ("ln_attn", "ln_mlp")


def build_falcon(config: ModelConfig, max_positions: int, context: LayerContext) -> Decoder:
    """Return a Falcon, its weights still to be loaded."""
    assert isinstance(config, FalconConfig)
    return Decoder(
        config,
        max_positions,
        context,
        blocks=[FalconBlock(config, context) for _ in range(config.num_layers)],
        norm=LayerNorm(config.hidden_size, config.norm_eps, context),
        names=_NAMES,
    )


class GeluMLP:
    """The plain feed-forward layer: `down(gelu(up(x)))`."""

    def __init__(self, config: ModelConfig, context: LayerContext) -> None:
        self._up_proj = Linear(config.hidden_size, (config.intermediate_size,), config.has_mlp_bias, context)
        self._down_proj = Linear(config.intermediate_size, (config.hidden_size,), config.has_mlp_bias, context)

    def __call__(self, x: Tensor) -> Tensor:
        """Return [num_tokens, hidden_size] for `x` [num_tokens, hidden_size]."""
        return self._down_proj(F.gelu(self._up_proj(x)))

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        """Yield this layer's tensors by the checkpoint's names."""
        yield from self._up_proj.checkpoint_tensors(f"{prefix}.dense_h_to_4h")
        yield from self._down_proj.checkpoint_tensors(f"{prefix}.dense_4h_to_h")


class FalconBlock:
    """Attention and feed-forward of the same residual stream, behind one norm or a norm each, both added to it."""

    def __init__(self, config: FalconConfig, context: LayerContext) -> None:
        self._num_kv_heads = config.num_kv_heads
        self._head_dim = config.head_dim
        self._norm_names = _TWO_NORMS if config.num_parallel_norms == len(_TWO_NORMS) else _ONE_NORM
        self._norms = [LayerNorm(config.hidden_size, config.norm_eps, context) for _ in self._norm_names]
        self._attention = Attention(config, context)
        self._mlp = GeluMLP(config, context)

    def __call__(
        self,
        hidden: Tensor,
        rotation: tuple[Tensor, Tensor],
        cache: LayerCache,
        metadata: AttentionMetadata,
        backend: AttentionBackend,
    ) -> Tensor:
        """Return the residual stream [num_tokens, hidden_size] behind this block."""
        normalized = [norm(hidden) for norm in self._norms]
        attended = self._attention(normalized[0], rotation, cache, metadata, backend)
        return hidden + attended + self._mlp(normalized[-1])

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        """Yield this block's tensors by the checkpoint's names."""
        for name, norm in zip(self._norm_names, self._norms, strict=True):
            yield from norm.checkpoint_tensors(f"{prefix}.{name}")
        yield from self._fused_heads(f"{prefix}.self_attention.query_key_value")
        yield from self._attention.o_proj.checkpoint_tensors(f"{prefix}.self_attention.dense")
        yield from self._mlp.checkpoint_tensors(f"{prefix}.mlp")

    def _fused_heads(self, name: str) -> Iterator[CheckpointTensor]:
        projections = self._attention.qkv_proj
        for kind, parts in (("weight", projections.weights()), ("bias", projections.biases())):
            if parts:
                q, k, v = parts
                yield f"{name}.{kind}", FusedHeads(q, k, v, self._num_kv_heads, self._head_dim)
