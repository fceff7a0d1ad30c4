"""What a GGUF file of llama.cpp's `llama` architecture means: its configuration and its tensors' names."""

from typing import Any

import msgspec
import numpy as np
from msgspec import field
from numpy.typing import NDArray

from sarathid.errors import ModelRefused
from sarathid.models.gguf import GGUFFile
from sarathid.models.model_config import ModelConfig, NumLayers, Size
from sarathid.models.rope_config import RopeConfig, RopeJson, read_rope

_ROPE_FACTORS = "rope_freqs.weight"
_OUTPUT = "output.weight"
_EMBEDDING = "token_embd.weight"

_TOP_LEVEL = {
    "model.embed_tokens.weight": _EMBEDDING,
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": _OUTPUT,
}
_LAYER_LEVEL = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


class _LlamaFields(msgspec.Struct):
    """What we read of the metadata, by the file's names."""

    num_layers: NumLayers = field(name="llama.block_count")
    hidden_size: Size = field(name="llama.embedding_length")
    intermediate_size: Size = field(name="llama.feed_forward_length")
    num_heads: Size = field(name="llama.attention.head_count")
    rms_norm_eps: float = field(name="llama.attention.layer_norm_rms_epsilon")
    max_position_embeddings: Size = field(name="llama.context_length")
    num_kv_heads: Size | None = field(name="llama.attention.head_count_kv", default=None)
    head_dim: Size | None = field(name="llama.attention.key_length", default=None)
    rope_theta: float = field(name="llama.rope.freq_base", default=10_000.0)
    rope_scaling: str = field(name="llama.rope.scaling.type", default="none")
    rope_factor: float = field(name="llama.rope.scaling.factor", default=1.0)
    bos_token_id: int | None = field(name="tokenizer.ggml.bos_token_id", default=None)
    eos_token_id: int | None = field(name="tokenizer.ggml.eos_token_id", default=None)


def read_gguf_config(file: GGUFFile) -> ModelConfig:
    """Return the configuration in a file's metadata; raises `ModelRefused` naming what is missing or wrong."""
    architecture = file.metadata.get("general.architecture")
    if architecture != "llama":
        raise ModelRefused(f"{file.path}: GGUF architecture {architecture!r} is not served; 'llama' is")
    if _EMBEDDING not in file.tensors:
        raise ModelRefused(f"{file.path}: there is no tensor {_EMBEDDING}")
    try:
        found = msgspec.convert(file.metadata, _LlamaFields)
    except msgspec.ValidationError as error:
        raise ModelRefused(f"{file.path}: {error}") from error
    head_dim = found.head_dim or found.hidden_size // found.num_heads
    return ModelConfig(
        architecture="LlamaForCausalLM",
        vocab_size=file.tensors[_EMBEDDING].shape[0],
        hidden_size=found.hidden_size,
        intermediate_size=found.intermediate_size,
        num_layers=found.num_layers,
        num_heads=found.num_heads,
        num_kv_heads=found.num_kv_heads or found.num_heads,
        head_dim=head_dim,
        norm_eps=_shortest(found.rms_norm_eps),
        rope=_read_rope(file, found, head_dim),
        max_position_embeddings=found.max_position_embeddings,
        is_tied=_OUTPUT not in file.tensors,
        bos_token_id=found.bos_token_id,
        eos_token_ids=frozenset() if found.eos_token_id is None else frozenset((found.eos_token_id,)),
    )


def _shortest(value: float) -> float:
    """Return the double that a human wrote before the file made a float32 of it: 1e-5, not 9.99999974e-06."""
    return float(str(np.float32(value)))


def _read_rope(file: GGUFFile, found: _LlamaFields, head_dim: int) -> RopeConfig:
    if _ROPE_FACTORS in file.tensors:
        return RopeConfig(theta=found.rope_theta, frequency_factors=tuple(file.read(_ROPE_FACTORS).tolist()))
    match found.rope_scaling:
        case "none":
            return RopeConfig(theta=found.rope_theta)
        case "linear":
            json = RopeJson(rope_type="linear", factor=found.rope_factor)
            return read_rope(json, found.rope_theta, head_dim, found.max_position_embeddings)
        case unknown:
            raise ModelRefused(f"{file.path}: rope scaling {unknown!r} is not served in GGUF; none and linear are")


def checkpoint_names(file: GGUFFile, config: ModelConfig) -> dict[str, str]:
    """Return, by Hugging Face name, the file's name of every weight that the file holds."""
    known = dict(_TOP_LEVEL)
    for layer in range(config.num_layers):
        for ours, theirs in _LAYER_LEVEL.items():
            for kind in ("weight", "bias"):
                known[f"model.layers.{layer}.{ours}.{kind}"] = f"blk.{layer}.{theirs}.{kind}"
    unknown = set(file.tensors) - set(known.values()) - {_ROPE_FACTORS}
    if unknown:
        raise ModelRefused(f"{file.path}: {min(unknown)} is not a tensor of a llama model")
    return {ours: theirs for ours, theirs in known.items() if theirs in file.tensors}


def undo_rope_permutation(name: str, values: NDArray[np.float32], config: ModelConfig) -> NDArray[np.float32]:
    """Return q and k rows, of all heads or of some, in Hugging Face's order, everything else as it is.

    llama.cpp interleaves the two halves of each head, because its rotary embedding turns neighbours
    where Hugging Face's turns element i against element i + head_dim / 2.
    """
    if name.split(".")[-2] not in ("q_proj", "k_proj"):
        return values
    pairs: NDArray[Any] = values.reshape(-1, config.head_dim // 2, 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)
