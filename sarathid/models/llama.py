"""Llama's decoder, which Mistral, Yi, SmolLM2, Qwen2 and Qwen3 share up to biases, norms and sizes."""

from collections.abc import Iterator

from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from sarathi_kernels.llama_block import LlamaBlockCall, LlamaWeights
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
        self.gate_up_proj = Linear(hidden, (inner, inner), config.has_mlp_bias, context)
        self.down_proj = Linear(inner, (hidden,), config.has_mlp_bias, context)

    def __call__(self, x: Tensor) -> Tensor:
        """Return [num_tokens, hidden_size] for `x` [num_tokens, hidden_size]."""
        return self.down_proj(self._kernels.gate(self.gate_up_proj(x)))

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        """Yield this layer's tensors by the checkpoint's names."""
        yield from self.gate_up_proj.checkpoint_tensors(f"{prefix}.gate_proj", f"{prefix}.up_proj")
        yield from self.down_proj.checkpoint_tensors(f"{prefix}.down_proj")


class LlamaBlock:
    """Attention and feed-forward, each behind a norm and added to the residual stream.

    On a CPU that is one call of a kernel where it has one for such weights.
    """

    def __init__(self, share: ModelShare, context: LayerContext) -> None:
        config = share.config
        self._num_heads = share.heads.length
        self._kernels = context.kernels
        self._attention_norm = RMSNorm(config.hidden_size, config.norm_eps, context)
        self._attention = Attention(share, context)
        self._mlp_norm = RMSNorm(config.hidden_size, config.norm_eps, context)
        self._mlp = SwiGLU(share, context)
        self._num_parts = context.group.num_parts
        self._backend: AttentionBackend | None = None
        self._in_one_call: LlamaBlockCall | None = None

    def __call__(
        self,
        hidden: Tensor,
        rotation: tuple[Tensor, Tensor],
        cache: LayerCache,
        metadata: AttentionMetadata,
        backend: AttentionBackend,
    ) -> Tensor:
        """Return the residual stream [num_tokens, hidden_size] behind this block, for which `hidden` may be changed."""
        if backend is not self._backend:
            self._backend, self._in_one_call = backend, self._find_one_call(backend)
        if self._in_one_call is not None:
            self._in_one_call(hidden, rotation, cache, metadata)
            return hidden
        attended = self._attention(self._attention_norm(hidden), rotation, cache, metadata, backend)
        hidden, normalized = self._mlp_norm.add(hidden, attended)
        return hidden + self._mlp(normalized)

    def _find_one_call(self, backend: AttentionBackend) -> LlamaBlockCall | None:
        projections = (self._attention.qkv_proj, self._attention.o_proj, self._mlp.gate_up_proj, self._mlp.down_proj)
        qkv, o, gate_up, down = (projection.panels for projection in projections)
        if qkv is None or o is None or gate_up is None or down is None:
            return None
        if not self._attention.is_plain or self._num_parts > 1:
            return None
        weights = LlamaWeights(
            attention_norm=self._attention_norm.weight,
            qkv=qkv,
            o=o,
            mlp_norm=self._mlp_norm.weight,
            gate_up=gate_up,
            down=down,
            eps=self._mlp_norm.eps,
            num_heads=self._num_heads,
        )
        return self._kernels.in_one_call(weights, backend)

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        """Yield this block's tensors by the checkpoint's names."""
        yield from self._attention_norm.checkpoint_tensors(f"{prefix}.input_layernorm")
        yield from self._attention.checkpoint_tensors(f"{prefix}.self_attn")
        yield from self._mlp_norm.checkpoint_tensors(f"{prefix}.post_attention_layernorm")
        yield from self._mlp.checkpoint_tensors(f"{prefix}.mlp")
