"""The config.json of Falcon: 7B with its one KV head, 40B and 180B with the new decoder architecture."""

from typing import Literal

import msgspec

from sarathid.errors import ModelRefused
from sarathid.models.model_config import FalconConfig, NumLayers, Size
from sarathid.models.rope_config import RopeJson, read_rope

_MAX_POSITIONS = 2048  # what Falcon was trained on, and what files without the field mean


class FalconJson(msgspec.Struct):
    """What we read of config.json."""

    vocab_size: Size
    hidden_size: Size
    num_hidden_layers: NumLayers
    num_attention_heads: Size
    num_kv_heads: Size | None = None
    ffn_hidden_size: Size | None = None
    max_position_embeddings: Size = _MAX_POSITIONS
    layer_norm_epsilon: float = 1e-5
    activation: str = "gelu"
    rope_theta: float = 10_000.0
    rope_scaling: RopeJson | None = None
    rope_parameters: RopeJson | None = None
    tie_word_embeddings: bool = True
    bias: bool = False
    alibi: bool = False
    multi_query: bool = True
    parallel_attn: bool = True
    new_decoder_architecture: bool = False
    num_ln_in_parallel_attn: Literal[1, 2] | None = None


def falcon_config(found: FalconJson, architecture: str) -> FalconConfig:
    """Return the configuration that the fields describe; raises `ModelRefused` for what is not served."""
    _check_served(found)
    head_dim = found.hidden_size // found.num_attention_heads
    rope = found.rope_parameters or found.rope_scaling
    return FalconConfig(
        architecture=architecture,
        vocab_size=found.vocab_size,
        hidden_size=found.hidden_size,
        intermediate_size=found.ffn_hidden_size or 4 * found.hidden_size,
        num_layers=found.num_hidden_layers,
        num_heads=found.num_attention_heads,
        num_kv_heads=_num_kv_heads(found),
        head_dim=head_dim,
        norm_eps=found.layer_norm_epsilon,
        rope=read_rope(rope, found.rope_theta, head_dim, found.max_position_embeddings),
        max_position_embeddings=found.max_position_embeddings,
        is_tied=found.tie_word_embeddings,
        has_qkv_bias=found.bias,
        has_output_bias=found.bias,
        has_mlp_bias=found.bias,
        num_parallel_norms=_num_parallel_norms(found),
    )


def _check_served(found: FalconJson) -> None:
    if found.alibi:
        raise ModelRefused("a Falcon with alibi positions is not served, only with rotary ones")
    if not (found.parallel_attn or found.new_decoder_architecture):
        raise ModelRefused("a Falcon without parallel_attn is not served")
    if found.activation != "gelu":
        raise ModelRefused(f"activation {found.activation!r} is not served, only 'gelu'")
    if found.hidden_size % found.num_attention_heads:
        raise ModelRefused(
            f"a hidden_size of {found.hidden_size} does not divide among {found.num_attention_heads} heads"
        )


def _num_kv_heads(found: FalconJson) -> int:
    if found.multi_query and not found.new_decoder_architecture:
        return 1
    return found.num_kv_heads or found.num_attention_heads


def _num_parallel_norms(found: FalconJson) -> int:
    if not found.new_decoder_architecture:
        return 1
    return 2 if found.num_ln_in_parallel_attn is None else found.num_ln_in_parallel_attn
