"""What a model is, in numbers: read from config.json or GGUF metadata, checked before any weight is."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from sarathid.errors import ModelRefused

Size = Annotated[int, Meta(ge=1, le=1 << 24)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeConfig:
    """Rotary embedding: pair i of a head turns by `position * theta ** (-2i / head_dim) / factors[i]`.

    `frequency_factors` [head_dim // 2] is None where no scaling is in force.
    """

    theta: float
    frequency_factors: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A decoder of Llama's kind.

    `has_qkv_bias` is for q, k and v alone. `sliding_window` None attends to everything before.
    """

    architecture: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float
    rope: RopeConfig
    max_position_embeddings: int
    is_tied: bool
    has_qkv_bias: bool = False
    has_output_bias: bool = False
    has_mlp_bias: bool = False
    sliding_window: int | None = None
    bos_token_id: int | None = None
    eos_token_ids: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ModelRefused(f"{self.num_heads} attention heads do not divide among {self.num_kv_heads} KV heads")
        if self.head_dim % 2:
            raise ModelRefused(f"a rotary embedding needs an even head_dim, not {self.head_dim}")
        factors = self.rope.frequency_factors
        if factors is not None and len(factors) != self.head_dim // 2:
            raise ModelRefused(f"{len(factors)} rope factors do not fit a head_dim of {self.head_dim}")

    def kv_bytes_per_token(self, bytes_per_value: int) -> int:
        """Return the bytes that one position takes in the KV cache, over all layers."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim * bytes_per_value


class _RopeJson(msgspec.Struct):
    """`rope_scaling` of older configurations, `rope_parameters` of newer ones."""

    rope_type: str | None = None
    type: str | None = None
    rope_theta: float | None = None
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192


class _ConfigJson(msgspec.Struct):
    """What we read of Hugging Face's config.json."""

    architectures: tuple[str, ...]
    vocab_size: Size
    hidden_size: Size
    intermediate_size: Size
    num_hidden_layers: Size
    num_attention_heads: Size
    max_position_embeddings: Size
    rms_norm_eps: float
    num_key_value_heads: Size | None = None
    head_dim: Size | None = None
    hidden_act: str = "silu"
    rope_theta: float = 10_000.0
    rope_scaling: _RopeJson | None = None
    rope_parameters: _RopeJson | None = None
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    sliding_window: Size | None = None
    use_sliding_window: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    quantization_config: dict[str, Any] | None = None


class _GenerationJson(msgspec.Struct):
    """What we read of Hugging Face's generation_config.json."""

    eos_token_id: int | tuple[int, ...] | None = None


def read_config(directory: Path) -> ModelConfig:
    """Return the configuration of a model directory; raises `ModelRefused` naming the file and the field."""
    found = _read_json(directory / "config.json", _ConfigJson)
    if found.hidden_act != "silu":
        raise ModelRefused(f"{directory}: hidden_act {found.hidden_act!r} is not served, only 'silu'")
    if found.quantization_config is not None:
        raise ModelRefused(f"{directory}: quantized safetensors are not served; give the unquantized model or a GGUF")
    head_dim = found.head_dim or found.hidden_size // found.num_attention_heads
    architecture = found.architectures[0] if found.architectures else "unnamed"
    return ModelConfig(
        architecture=architecture,
        vocab_size=found.vocab_size,
        hidden_size=found.hidden_size,
        intermediate_size=found.intermediate_size,
        num_layers=found.num_hidden_layers,
        num_heads=found.num_attention_heads,
        num_kv_heads=found.num_key_value_heads or found.num_attention_heads,
        head_dim=head_dim,
        rms_norm_eps=found.rms_norm_eps,
        rope=_rope_config(found, head_dim),
        max_position_embeddings=found.max_position_embeddings,
        is_tied=found.tie_word_embeddings,
        has_qkv_bias=found.attention_bias or architecture == "Qwen2ForCausalLM",
        has_output_bias=found.attention_bias,
        has_mlp_bias=found.mlp_bias,
        sliding_window=found.sliding_window if found.use_sliding_window else None,
        bos_token_id=found.bos_token_id,
        eos_token_ids=_eos_token_ids(directory, found),
    )


def _read_json(path: Path, type_: type[msgspec.Struct]) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=type_)
    except FileNotFoundError:
        raise ModelRefused(f"{path} is missing; a model directory needs it") from None
    except msgspec.MsgspecError as error:
        raise ModelRefused(f"{path}: {error}") from error


def _eos_token_ids(directory: Path, config: _ConfigJson) -> frozenset[int]:
    generation = directory / "generation_config.json"
    named = _read_json(generation, _GenerationJson).eos_token_id if generation.exists() else None
    if named is None:
        named = config.eos_token_id
    if named is None:
        return frozenset()
    return frozenset((named,)) if isinstance(named, int) else frozenset(named)


def _rope_config(config: _ConfigJson, head_dim: int) -> RopeConfig:
    rope = config.rope_parameters or config.rope_scaling or _RopeJson()
    theta = rope.rope_theta or config.rope_theta
    match rope.rope_type or rope.type or "default":
        case "default":
            return RopeConfig(theta=theta)
        case "linear":
            return RopeConfig(theta=theta, frequency_factors=(rope.factor,) * (head_dim // 2))
        case "llama3":
            return RopeConfig(theta=theta, frequency_factors=_llama3_factors(rope, theta, head_dim))
        case unknown:
            raise ModelRefused(f"rope scaling {unknown!r} is not served; default, linear and llama3 are")


def _llama3_factors(rope: _RopeJson, theta: float, head_dim: int) -> tuple[float, ...]:
    """Return what each frequency is divided by: `factor` for long waves, 1 for short, a blend between.

    The formula of Llama 3.1's reference code (`apply_scaling`, llama-models).
    """
    wavelengths = [2 * math.pi * theta ** (2 * i / head_dim) for i in range(head_dim // 2)]
    context = rope.original_max_position_embeddings
    blends = [
        (context / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
        for wavelength in wavelengths
    ]
    return tuple(1.0 / ((1.0 - blend) / rope.factor + blend) for blend in (min(max(b, 0.0), 1.0) for b in blends))
