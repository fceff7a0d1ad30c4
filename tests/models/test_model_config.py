"""Configurations are read whole or refused with the file and the reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from sarathid.errors import ModelRefused
from sarathid.models.config_json import READERS, read_config
from sarathid.models.model_config import FalconConfig
from sarathid.models.registry import ARCHITECTURES
from sarathid.models.share import ModelShare

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
    assert ModelShare.whole(config).kv_bytes_per_token(4) == 2 * 2 * 4 * 16 * 4


def test_end_tokens_of_the_generation_config_come_first(tmp_path: Path) -> None:
    write_config(tmp_path, eos_token_id=2)
    assert read_config(tmp_path).eos_token_ids == {2}
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [3, 4]}', encoding="utf-8")
    assert read_config(tmp_path).eos_token_ids == {3, 4}


@pytest.mark.parametrize(
    "changes", [{"eos_token_id": 100}, {"eos_token_id": [1, -5]}, {"bos_token_id": -1}, {"bos_token_id": 10**30}]
)
def test_bos_and_eos_are_of_the_vocabulary(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ModelRefused, match="is not in the vocabulary of 100 tokens"):
        read_config(write_config(tmp_path, **changes))


@pytest.mark.parametrize("text", ['{"eos_token_id": [1, -5, 99999999999999999999]}', '{"eos_token_id": 100}'])
def test_eos_of_the_generation_config_is_of_the_vocabulary(tmp_path: Path, text: str) -> None:
    write_config(tmp_path, eos_token_id=2)
    (tmp_path / "generation_config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelRefused, match="is not in the vocabulary of 100 tokens"):
        read_config(tmp_path)


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
        ({"num_hidden_layers": 1 << 23}, "num_hidden_layers"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"num_key_value_heads": 3}, "4 attention heads do not divide among 3"),
        ({"head_dim": 5}, "even head_dim"),
        ({"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "longrope"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 0.0}}, "factor"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "mscale": 1.0}}, "mscale"),
        ({"rope_scaling": {"rope_type": "llama3", "low_freq_factor": 4.0}}, "high_freq_factor"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "part of each head"),
        ({"rope_theta": -1.0}, "positive numbers"),
        ({"rms_norm_eps": -1e-5}, "epsilon"),
        ({"architectures": ["MambaForCausalLM"]}, "MambaForCausalLM is not served; LlamaForCausalLM"),
        ({"architectures": []}, "unnamed is not served"),
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


def write_falcon(directory: Path, **changes: Any) -> Path:
    falcon: dict[str, Any] = {
        "architectures": ["FalconForCausalLM"],
        "vocab_size": 100,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    (directory / "config.json").write_text(json.dumps(falcon | changes), encoding="utf-8")
    return directory


def test_falcons_defaults_are_those_of_its_7b(tmp_path: Path) -> None:
    config = read_config(write_falcon(tmp_path))
    assert isinstance(config, FalconConfig)
    assert (config.num_kv_heads, config.intermediate_size, config.max_position_embeddings) == (1, 256, 2048)
    assert (config.is_tied, config.num_parallel_norms) == (True, 1)


def test_falcons_new_architecture_has_kv_heads_and_two_norms(tmp_path: Path) -> None:
    config = read_config(write_falcon(tmp_path, new_decoder_architecture=True, num_kv_heads=2))
    assert isinstance(config, FalconConfig)
    assert (config.num_kv_heads, config.num_parallel_norms) == (2, 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alibi": True}, "alibi"),
        ({"parallel_attn": False}, "parallel_attn"),
        ({"activation": "relu"}, "relu"),
        ({"num_ln_in_parallel_attn": 3}, "num_ln_in_parallel_attn"),
        ({"num_attention_heads": 5}, "does not divide among 5 heads"),
    ],
)
def test_falcons_that_are_not_served_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelRefused, match=words):
        read_config(write_falcon(tmp_path, **changes))


QWEN: dict[str, Any] = {"architectures": ["Qwen2ForCausalLM"], "sliding_window": 16}


@pytest.mark.parametrize(
    ("changes", "window"),
    [
        ({"sliding_window": 16}, None),
        ({"architectures": ["MistralForCausalLM"], "sliding_window": 16}, 16),
        ({"architectures": ["MistralForCausalLM"], "sliding_window": None}, None),
        (QWEN, None),
        (QWEN | {"use_sliding_window": True, "max_window_layers": 0}, 16),
        (QWEN | {"use_sliding_window": True, "max_window_layers": 2}, None),
        (QWEN | {"use_sliding_window": True, "layer_types": ["sliding_attention"] * 2}, 16),
    ],
)
def test_a_window_is_there_where_the_family_has_one(
    tmp_path: Path, changes: dict[str, Any], window: int | None
) -> None:
    assert read_config(write_config(tmp_path, **changes)).sliding_window == window


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_window_layers": 1}, "1 of 2 layers have a sliding window"),
        ({"layer_types": ["sliding_attention", "full_attention"]}, "1 of 2 layers"),
        ({"layer_types": ["linear_attention"] * 2}, "linear_attention"),
    ],
)
def test_layers_of_different_kinds_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelRefused, match=words):
        read_config(write_config(tmp_path, **QWEN, use_sliding_window=True, **changes))


def test_every_architecture_that_is_read_can_be_built() -> None:
    assert READERS.keys() == ARCHITECTURES.keys()
