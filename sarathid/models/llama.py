"""Llama's decoder, which Mistral, Yi, SmolLM2, Qwen2 and Qwen3 share up to biases, norms and sizes."""

from collections.abc import Iterator

from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from torch import Tensor

from sarathid.models.decoder import CheckpointNames, Decoder
from sarathid.models.layers.attention import Attention
from sarathid.models.layers.checkpoint import CheckpointTensor
from sarathid.models.layers.context import LayerContext
from sarathid.models.layers.linear import Linear
from sarathid.models.layers.norm import RMSNorm
from sarathid.models.shard import Shard
from sarathid.models.share import ModelShare

_NAMES = CheckpointNames(embedding="model.embed_tokens.weight", blocks="model.layers", norm="model.norm")


def build_llama(share: ModelShare, max_positions: int, context: LayerContext) -> Decoder:
    """Return a share of a decoder of Llama's kind, its weights still to be loaded."""
    return Decoder(
        share,
        max_positions,
        context,
        blocks=[LlamaBlock(share, context) for _ in share.layers],
        norm=RMSNorm(share.config.hidden_size, share.config.norm_eps, context),
        names=_NAMES,
    )


class SwiGLU:
    """The gated feed-forward layer (Shazeer 2020): `down(silu(gate(x)) * up(x))`."""

    def __init__(self, share: ModelShare, context: LayerContext) -> None:
        config, inner, hidden = share.config, share.intermediate, Shard.whole(share.config.hidden_size)
        self._kernels = context.kernels
        self._gate_up_proj = Linear(hidden, (inner, inner), config.has_mlp_bias, context)
        self._down_proj = Linear(inner, (hidden,), config.has_mlp_bias and share.is_first_part, context)

    def __call__(self, x: Tensor) -> Tensor:
        """Return this rank's part of the sum [num_tokens, hidden_size] for `x` [num_tokens, hidden_size]."""
        return self._down_proj(self._kernels.gate(self._gate_up_proj(x)))

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        """Yield this layer's tensors by the checkpoint's names."""
        yield from self._gate_up_proj.checkpoint_tensors(f"{prefix}.gate_proj", f"{prefix}.up_proj")
        yield from self._down_proj.checkpoint_tensors(f"{prefix}.down_proj")


class LlamaBlock:
    """Attention and feed-forward, each behind a norm and added to the residual stream."""

    def __init__(self, share: ModelShare, context: LayerContext) -> None:
        config = share.config
        self._attention_norm = RMSNorm(config.hidden_size, config.norm_eps, context)
        self._attention = Attention(share, context)
        self._mlp_norm = RMSNorm(config.hidden_size, config.norm_eps, context)
        self._mlp = SwiGLU(share, context)
        self._group = context.group

    def __call__(
        self,
        hidden: Tensor,
        rotation: tuple[Tensor, Tensor],
        cache: LayerCache,
        metadata: AttentionMetadata,
        backend: AttentionBackend,
    ) -> Tensor:
        """Return the residual stream [num_tokens, hidden_size] behind this block."""
        attended = self._attention(self._attention_norm(hidden), rotation, cache, metadata, backend)
        hidden, normalized = self._mlp_norm.add(hidden, self._group.sum(attended))
        return hidden + self._group.sum(self._mlp(normalized))

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        """Yield this block's tensors by the checkpoint's names."""
        yield from self._attention_norm.checkpoint_tensors(f"{prefix}.input_layernorm")
        yield from self._attention.checkpoint_tensors(f"{prefix}.self_attn")
        yield from self._mlp_norm.checkpoint_tensors(f"{prefix}.post_attention_layernorm")
        yield from self._mlp.checkpoint_tensors(f"{prefix}.mlp")
