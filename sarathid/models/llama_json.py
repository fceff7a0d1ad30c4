"""The config.json of Llama and of the families that share its block: Mistral, Yi, SmolLM2, Qwen2 and Qwen3."""

import msgspec

from sarathid.errors import ModelRefused
from sarathid.models.model_config import ModelConfig, NumLayers, Size
from sarathid.models.rope_config import RopeJson, read_rope

_SLIDING = "sliding_attention"
_LAYER_TYPES = (_SLIDING, "full_attention")


class LlamaJson(msgspec.Struct):
    """What we read of config.json; Yi and SmolLM2 call themselves Llama."""

    vocab_size: Size
    hidden_size: Size
    intermediate_size: Size
    num_hidden_layers: NumLayers
    num_attention_heads: Size
    max_position_embeddings: Size
    rms_norm_eps: float
    num_key_value_heads: Size | None = None
    head_dim: Size | None = None
    hidden_act: str = "silu"
    rope_theta: float = 10_000.0
    rope_scaling: RopeJson | None = None
    rope_parameters: RopeJson | None = None
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    sliding_window: Size | None = None
    use_sliding_window: bool = False
    max_window_layers: int | None = None
    layer_types: tuple[str, ...] | None = None


def llama_config(found: LlamaJson, architecture: str) -> ModelConfig:
    """Return the configuration that the fields describe; raises `ModelRefused` for what is not served."""
    if found.hidden_act != "silu":
        raise ModelRefused(f"hidden_act {found.hidden_act!r} is not served, only 'silu'")
    head_dim = found.head_dim or found.hidden_size // found.num_attention_heads
    rope = found.rope_parameters or found.rope_scaling
    return ModelConfig(
        architecture=architecture,
        vocab_size=found.vocab_size,
        hidden_size=found.hidden_size,
        intermediate_size=found.intermediate_size,
        num_layers=found.num_hidden_layers,
        num_heads=found.num_attention_heads,
        num_kv_heads=found.num_key_value_heads or found.num_attention_heads,
        head_dim=head_dim,
        norm_eps=found.rms_norm_eps,
        rope=read_rope(rope, found.rope_theta, head_dim, found.max_position_embeddings),
        max_position_embeddings=found.max_position_embeddings,
        is_tied=found.tie_word_embeddings,
        has_qkv_bias=found.attention_bias or architecture == "Qwen2ForCausalLM",
        has_output_bias=found.attention_bias,
        has_mlp_bias=found.mlp_bias,
        has_qk_norm=architecture == "Qwen3ForCausalLM",
        sliding_window=_sliding_window(found, architecture),
    )


def _sliding_window(found: LlamaJson, architecture: str) -> int | None:
    """Return the window of every layer, None where there is none: Llama has none, Qwen only if asked to."""
    if architecture == "MistralForCausalLM":
        return found.sliding_window
    if architecture == "LlamaForCausalLM" or not found.use_sliding_window:
        return None
    num_sliding = _num_sliding_layers(found)
    if num_sliding not in (0, found.num_hidden_layers):
        raise ModelRefused(
            f"{num_sliding} of {found.num_hidden_layers} layers have a sliding window; all or none are served"
        )
    return found.sliding_window if num_sliding else None


def _num_sliding_layers(found: LlamaJson) -> int:
    if found.layer_types is None:
        return max(0, found.num_hidden_layers - (found.max_window_layers or 0))
    unknown = set(found.layer_types) - set(_LAYER_TYPES)
    if unknown:
        raise ModelRefused(f"layers of {min(unknown)!r} are not served; {' and '.join(_LAYER_TYPES)} are")
    return found.layer_types.count(_SLIDING)
