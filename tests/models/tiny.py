"""Tiny random models, made by transformers and kept as model directories."""

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

VOCAB_SIZE = 97
MAX_POSITIONS = 256

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 1000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN_ROPE = {"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 64}


_FALCON: dict[str, Any] = {"layer_norm_epsilon": 1e-5, "ffn_hidden_size": 80, "num_kv_heads": 2}
_LLAMA: dict[str, Any] = {
    "intermediate_size": 80,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}


def save_tiny_model(directory: Path, kind: str = "Llama", **changes: Any) -> transformers.PreTrainedModel:
    """Write a random model of `kind` (Llama, Mistral, Qwen2, Qwen3, Falcon) to `directory` and return it."""
    settings: dict[str, Any] = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "max_position_embeddings": MAX_POSITIONS,
        "initializer_range": 0.2,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": None,
        **(_FALCON if kind == "Falcon" else _LLAMA),
        **changes,
    }
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**settings)
    model: transformers.PreTrainedModel = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms start at 0 and 1, which would hide a mistake
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(directory)
    return model


def save_speaking_model(directory: Path, kind: str = "Llama", **changes: Any) -> Path:
    """Write a random model whose words are the numbers of its tokens, and return its directory."""
    save_tiny_model(directory, kind, **changes)
    tokenizer = Tokenizer(WordLevel({str(index): index for index in range(VOCAB_SIZE)}, unk_token="0"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory
