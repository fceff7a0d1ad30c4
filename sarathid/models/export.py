"""Writes a model in Hugging Face's layout, so that other tools load the same weights and tokens."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from sarathid.errors import ModelRefused
from sarathid.models.model_config import FalconConfig, ModelConfig
from sarathid.models.model_files import DirectoryFiles, GGUFFiles
from sarathid.models.weights import open_weights


def export(files: DirectoryFiles | GGUFFiles, directory: Path) -> None:
    """Write config.json, model.safetensors (float32), the tokenizer and its chat template into `directory`.

    Raises `ModelRefused` when the directory holds anything, or the model is no plain one of Llama's kind.
    """
    if directory.exists() and any(directory.iterdir()):
        raise ModelRefused(f"{directory} is not empty; name a new directory")
    if isinstance(files.config, FalconConfig):
        raise ModelRefused(f"{files.name} is a Falcon, and only models of Llama's kind can be exported")
    if files.config.rope.frequency_factors is not None:
        raise ModelRefused(f"{files.name} has a scaled rotary embedding, which can't be exported")
    directory.mkdir(parents=True, exist_ok=True)
    source = open_weights(files)
    weights = {name: source.read(name).to(torch.float32).contiguous() for name in sorted(source.names())}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    files.tokenizer.save(str(directory / "tokenizer.json"))
    _write_json(directory / "config.json", _config_json(files.config))
    _write_json(directory / "generation_config.json", _token_ids(files.config))
    _write_json(directory / "tokenizer_config.json", _tokenizer_json(files))


def _config_json(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": [config.architecture],
        "model_type": config.architecture.removesuffix("ForCausalLM").lower(),
        "attention_bias": config.has_output_bias,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "mlp_bias": config.has_mlp_bias,
        "num_attention_heads": config.num_heads,
        "num_hidden_layers": config.num_layers,
        "num_key_value_heads": config.num_kv_heads,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope.theta,
        "sliding_window": config.sliding_window,
        "use_sliding_window": config.sliding_window is not None,
        "tie_word_embeddings": config.is_tied,
        "torch_dtype": "float32",
        "vocab_size": config.vocab_size,
        **_token_ids(config),
    }


def _token_ids(config: ModelConfig) -> dict[str, Any]:
    return {"bos_token_id": config.bos_token_id, "eos_token_id": sorted(config.eos_token_ids)}


def _tokenizer_json(files: DirectoryFiles | GGUFFiles) -> dict[str, Any]:
    config = files.config
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None if config.bos_token_id is None else files.tokenizer.id_to_token(config.bos_token_id),
        "eos_token": next((files.tokenizer.id_to_token(token_id) for token_id in sorted(config.eos_token_ids)), None),
        "chat_template": files.chat_template,
        "clean_up_tokenization_spaces": False,
        "model_max_length": config.max_position_embeddings,
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
