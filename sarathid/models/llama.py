"""Llama's decoder, which SmolLM2, Mistral and Qwen2 share up to biases and sizes."""

from collections.abc import Iterator, Sequence

from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from torch import Tensor

from sarathid.models.layers.attention import Attention
from sarathid.models.layers.context import LayerContext
from sarathid.models.layers.embedding import Embedding, OutputHead
from sarathid.models.layers.linear import CheckpointTensor, Linear
from sarathid.models.layers.norm import RMSNorm
from sarathid.models.layers.rope import Rope
from sarathid.models.model_config import ModelConfig


class SwiGLU:
    """The gated feed-forward layer (Shazeer 2020): `down(silu(gate(x)) * up(x))`."""

    def __init__(self, config: ModelConfig, context: LayerContext) -> None:
        inner = config.intermediate_size
        self._kernels = context.kernels
        self._gate_up_proj = Linear(config.hidden_size, (inner, inner), config.has_mlp_bias, context)
        self._down_proj = Linear(inner, (config.hidden_size,), config.has_mlp_bias, context)

    def __call__(self, x: Tensor) -> Tensor:
        """Return [num_tokens, hidden_size] for `x` [num_tokens, hidden_size]."""
        return self._down_proj(self._kernels.gate(self._gate_up_proj(x)))

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        """Yield this layer's tensors by the checkpoint's names."""
        yield from self._gate_up_proj.checkpoint_tensors(f"{prefix}.gate_proj", f"{prefix}.up_proj")
        yield from self._down_proj.checkpoint_tensors(f"{prefix}.down_proj")


class LlamaBlock:
    """Attention and feed-forward, each behind a norm and added to the residual stream."""

    def __init__(self, config: ModelConfig, context: LayerContext) -> None:
        self._attention_norm = RMSNorm(config.hidden_size, config.rms_norm_eps, context)
        self._attention = Attention(config, context)
        self._mlp_norm = RMSNorm(config.hidden_size, config.rms_norm_eps, context)
        self._mlp = SwiGLU(config, context)

    def __call__(
        self,
        hidden: Tensor,
        rotation: tuple[Tensor, Tensor],
        cache: LayerCache,
        metadata: AttentionMetadata,
        backend: AttentionBackend,
    ) -> Tensor:
        """Return the residual stream [num_tokens, hidden_size] behind this block."""
        hidden = hidden + self._attention(self._attention_norm(hidden), rotation, cache, metadata, backend)
        return hidden + self._mlp(self._mlp_norm(hidden))

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        """Yield this block's tensors by the checkpoint's names."""
        yield f"{prefix}.input_layernorm.weight", self._attention_norm.weight
        yield from self._attention.checkpoint_tensors(f"{prefix}.self_attn")
        yield f"{prefix}.post_attention_layernorm.weight", self._mlp_norm.weight
        yield from self._mlp.checkpoint_tensors(f"{prefix}.mlp")


class LlamaForCausalLM:
    """The whole decoder; its weights are uninitialized until `checkpoint_tensors` are filled."""

    def __init__(self, config: ModelConfig, max_positions: int, context: LayerContext) -> None:
        self.config = config
        self._embedding = Embedding(config.vocab_size, config.hidden_size, context)
        self._rope = Rope(config.rope, config.head_dim, max_positions, context.device)
        self._blocks = [LlamaBlock(config, context) for _ in range(config.num_layers)]
        self._norm = RMSNorm(config.hidden_size, config.rms_norm_eps, context)
        head = self._embedding.weight if config.is_tied else context.empty(config.vocab_size, config.hidden_size)
        self._head = OutputHead(head, context)

    def forward(
        self,
        token_ids: Tensor,
        positions: Tensor,
        caches: Sequence[LayerCache],
        metadata: AttentionMetadata,
        backend: AttentionBackend,
    ) -> Tensor:
        """Run a mixed batch of chunks and decodes, storing its keys and values.

        `token_ids` and `positions` are [num_tokens] int64. Returns the residual stream
        [num_tokens, hidden_size], of which `logits` wants the rows that sample.
        """
        hidden = self._embedding(token_ids)
        rotation = self._rope.at(positions)
        for block, cache in zip(self._blocks, caches, strict=True):
            hidden = block(hidden, rotation, cache, metadata, backend)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits [num_rows, vocab_size] float32 for rows of the residual stream."""
        return self._head(self._norm(hidden))

    def checkpoint_tensors(self) -> Iterator[CheckpointTensor]:
        """Yield every weight by the checkpoint's name, to be filled in place."""
        yield "model.embed_tokens.weight", self._embedding.weight
        for index, block in enumerate(self._blocks):
            yield from block.checkpoint_tensors(f"model.layers.{index}")
        yield "model.norm.weight", self._norm.weight
        if not self.config.is_tied:
            yield "lm_head.weight", self._head.weight
