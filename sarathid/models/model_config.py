"""What a model is, in numbers: checked before any weight is read."""

import math
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from sarathid.errors import ModelRefused
from sarathid.models.rope_config import RopeConfig

Size = Annotated[int, Meta(ge=1, le=1 << 24)]
NumLayers = Annotated[int, Meta(ge=1, le=1024)]  # a file that says millions must not keep us busy naming them


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A decoder of any family that is served; what a family alone knows is in a subclass.

    `norm_eps` is what its norms add to a variance. `has_qkv_bias` is for q, k and v alone, and
    `has_qk_norm` normalizes each head of q and k. `sliding_window` None attends to everything before.
    """

    architecture: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    norm_eps: float
    rope: RopeConfig
    max_position_embeddings: int
    is_tied: bool
    has_qkv_bias: bool = False
    has_output_bias: bool = False
    has_mlp_bias: bool = False
    has_qk_norm: bool = False
    sliding_window: int | None = None
    bos_token_id: int | None = None
    eos_token_ids: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ModelRefused(f"{self.num_heads} attention heads do not divide among {self.num_kv_heads} KV heads")
        if self.head_dim < 2 or self.head_dim % 2:
            raise ModelRefused(f"a rotary embedding needs an even head_dim, not {self.head_dim}")
        if not (math.isfinite(self.norm_eps) and self.norm_eps >= 0.0):
            raise ModelRefused(f"a norm's epsilon is a small number, not {self.norm_eps}")
        factors = self.rope.frequency_factors
        if factors is not None and len(factors) != self.head_dim // 2:
            raise ModelRefused(f"{len(factors)} rope factors do not fit a head_dim of {self.head_dim}")
        for token_id in self.eos_token_ids | {self.bos_token_id}:
            if token_id is not None and not 0 <= token_id < self.vocab_size:
                raise ModelRefused(
                    f"the bos or eos token {token_id} is not in the vocabulary of {self.vocab_size} tokens"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class FalconConfig(ModelConfig):
    """Falcon's decoder: attention and feed-forward run side by side, behind one norm or a norm each."""

    num_parallel_norms: int = 1
