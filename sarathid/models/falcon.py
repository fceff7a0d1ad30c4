"""Falcon's decoder (Almazrouei et al. 2023): attention and feed-forward side by side, layer norms, few KV heads."""

from collections.abc import Iterator

import torch.nn.functional as F
from sarathi_kernels.backend import AttentionBackend, AttentionMetadata, LayerCache
from torch import Tensor

from sarathid.models.decoder import CheckpointNames, Decoder
from sarathid.models.layers.attention import Attention
from sarathid.models.layers.checkpoint import CheckpointTensor, FusedHeads, Region
from sarathid.models.layers.context import LayerContext
from sarathid.models.layers.linear import Linear
from sarathid.models.layers.norm import LayerNorm
from sarathid.models.model_config import FalconConfig
from sarathid.models.shard import Shard
from sarathid.models.share import ModelShare

_NAMES = CheckpointNames(
    embedding="transformer.word_embeddings.weight", blocks="transformer.h", norm="transformer.ln_f"
)
_ONE_NORM = ("input_layernorm",)
_TWO_NORMS = ("ln_attn", "ln_mlp")


def build_falcon(share: ModelShare, max_positions: int, context: LayerContext) -> Decoder:
    """Return a share of a Falcon, its weights still to be loaded."""
    config = share.config
    assert isinstance(config, FalconConfig)
    return Decoder(
        share,
        max_positions,
        context,
        blocks=[FalconBlock(share, config.num_parallel_norms, context) for _ in share.layers],
        norm=LayerNorm(config.hidden_size, config.norm_eps, context),
        names=_NAMES,
    )


class GeluMLP:
    """The plain feed-forward layer: `down(gelu(up(x)))`."""

    def __init__(self, share: ModelShare, context: LayerContext) -> None:
        config, inner, hidden = share.config, share.intermediate, Shard.whole(share.config.hidden_size)
        self._up_proj = Linear(hidden, (inner,), config.has_mlp_bias, context)
        self.down_proj = Linear(inner, (hidden,), config.has_mlp_bias, context)

    def inner(self, x: Tensor) -> Tensor:
        """Return this rank's columns of `gelu(up(x))` for `x` [num_tokens, hidden_size]."""
        return F.gelu(self._up_proj(x))

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        """Yield this layer's tensors by the checkpoint's names."""
        yield from self._up_proj.checkpoint_tensors(f"{prefix}.dense_h_to_4h")
        yield from self.down_proj.checkpoint_tensors(f"{prefix}.dense_4h_to_h")


class FalconBlock:
    """Attention and feed-forward of the same residual stream, behind one norm or a norm each, both added to it.

    Since they stand side by side, one sum over the ranks is enough for both, where it is one of floats.
    """

    def __init__(self, share: ModelShare, num_norms: int, context: LayerContext) -> None:
        config = share.config
        self._share = share
        self._norm_names = _TWO_NORMS if num_norms == len(_TWO_NORMS) else _ONE_NORM
        self._norms = [LayerNorm(config.hidden_size, config.norm_eps, context) for _ in self._norm_names]
        self._attention = Attention(share, context)
        self._mlp = GeluMLP(share, context)
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
        normalized = [norm(hidden) for norm in self._norms]
        attended = self._attention.attend(normalized[0], rotation, cache, metadata, backend)
        return hidden + self._project(attended, self._mlp.inner(normalized[-1]))

    def _project(self, attended: Tensor, inner: Tensor) -> Tensor:
        """Return what is added to the residual stream [num_tokens, hidden_size]."""
        o_proj, down_proj = self._attention.o_proj, self._mlp.down_proj
        if self._group.num_parts == 1 or o_proj.sums_integers or down_proj.sums_integers:
            return o_proj(attended) + down_proj(inner)
        both = self._group.sum(o_proj.part(attended) + down_proj.part(inner))
        return down_proj.add_bias(o_proj.add_bias(both))

    def checkpoint_tensors(self, prefix: str) -> Iterator[CheckpointTensor]:
        """Yield this block's tensors by the checkpoint's names."""
        for name, norm in zip(self._norm_names, self._norms, strict=True):
            yield from norm.checkpoint_tensors(f"{prefix}.{name}")
        yield from self._fused_heads(f"{prefix}.self_attention.query_key_value")
        yield from self._attention.o_proj.checkpoint_tensors(f"{prefix}.self_attention.dense")
        yield from self._mlp.checkpoint_tensors(f"{prefix}.mlp")

    def _fused_heads(self, name: str) -> Iterator[CheckpointTensor]:
        projections, share = self._attention.qkv_proj, self._share
        region = None if share.num_parts == 1 else _fused_region(share)
        for kind, parts in (("weight", projections.weights()), ("bias", projections.biases())):
            if parts:
                q, k, v = parts
                fused = FusedHeads(q, k, v, share.kv_heads.length, share.config.head_dim)
                yield CheckpointTensor(f"{name}.{kind}", fused, region)


def _fused_region(share: ModelShare) -> Region:
    """Return where a share's heads stand among the fused ones: by KV head its query heads, its key, its value."""
    config, heads, kv_heads = share.config, share.heads, share.kv_heads
    group = config.num_heads // config.num_kv_heads
    ranges = []
    for kv_head in range(kv_heads.start, kv_heads.stop):
        first = kv_head * (group + 2)
        start, stop = (min(max(head - kv_head * group, 0), group) for head in (heads.start, heads.stop))
        ranges += [range(first + start, first + stop), range(first + group, first + group + 2)]
    rows = tuple(range(found.start * config.head_dim, found.stop * config.head_dim) for found in ranges)
    return Region(0, config.num_kv_heads * (group + 2) * config.head_dim, rows)
