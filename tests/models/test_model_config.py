"""Configurations are read whole or refused with the file and the reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from sarathid.errors import ModelRefused
from sarathid.models.model_config import read_config

SMALLEST: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
}


def write_config(directory: Path, **changes: Any) -> Path:
    (directory / "config.json").write_text(json.dumps(SMALLEST | changes), encoding="utf-8")
    return directory


def test_defaults_follow_the_heads(tmp_path: Path) -> None:
    config = read_config(write_config(tmp_path))
    assert (config.num_kv_heads, config.head_dim, config.rope.theta) == (4, 16, 10_000.0)
    assert config.eos_token_ids == frozenset()
    assert config.kv_bytes_per_token(4) == 2 * 2 * 4 * 16 * 4


def test_end_tokens_of_the_generation_config_come_first(tmp_path: Path) -> None:
    write_config(tmp_path, eos_token_id=2)
    assert read_config(tmp_path).eos_token_ids == {2}
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [3, 4]}', encoding="utf-8")
    assert read_config(tmp_path).eos_token_ids == {3, 4}


@pytest.mark.parametrize(
    "rope", [{"rope_theta": 5e5}, {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}]
)
def test_rope_of_old_and_new_files(tmp_path: Path, rope: dict[str, Any]) -> None:
    assert read_config(write_config(tmp_path, **rope)).rope.theta == 5e5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vocab_size": "many"}, r"config\.json.*vocab_size"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"num_key_value_heads": 3}, "4 attention heads do not divide among 3"),
        ({"head_dim": 5}, "even head_dim"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "yarn"),
        ({"quantization_config": {"bits": 4}}, "quantized"),
    ],
)
def test_what_is_not_served_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelRefused, match=words):
        read_config(write_config(tmp_path, **changes))


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"config\.json is missing"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelRefused, match=r"config\.json"):
        read_config(tmp_path)
