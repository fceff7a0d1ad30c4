"""An exported model is loaded by transformers as the very same model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from typer.testing import CliRunner

from sarathid.commands.models import app
from sarathid.errors import ModelRefused
from sarathid.models.export import export
from sarathid.models.model_files import resolve
from sarathid.models.weights import open_weights
from tests.models.tiny import LLAMA3_ROPE, save_tiny_model


def test_the_layout_is_hugging_faces(exported_smollm2: Path) -> None:
    names = {path.name for path in exported_smollm2.iterdir()}
    assert names == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    tokenizer_config = json.loads((exported_smollm2 / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert "<|im_start|>" in tokenizer_config["chat_template"]
    with safe_open(exported_smollm2 / "model.safetensors", framework="pt") as weights:
        assert weights.get_tensor("model.norm.weight").dtype == torch.float32


def test_a_round_trip_keeps_configuration_and_weights(exported_smollm2: Path, smollm2_path: Path) -> None:
    ours, exported = resolve(str(smollm2_path)), resolve(str(exported_smollm2))
    assert exported.config == ours.config
    assert exported.chat_template == ours.chat_template
    theirs, back = open_weights(ours), open_weights(exported)
    assert back.names() == theirs.names()
    name = "model.layers.7.self_attn.q_proj.weight"
    assert torch.equal(back.read(name), theirs.read(name))


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path, smollm2_path: Path) -> None:
    (tmp_path / "mine").touch()
    result = CliRunner().invoke(app, ["export", str(smollm2_path), str(tmp_path)])
    assert result.exception is not None and "is not empty" in str(result.exception)


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [("Falcon", {}, "is a Falcon"), ("Llama", {"rope_parameters": LLAMA3_ROPE}, "scaled rotary embedding")],
)
def test_what_the_layout_would_not_tell_is_refused(
    tmp_path: Path, kind: str, changes: dict[str, Any], words: str
) -> None:
    save_tiny_model(tmp_path / "model", kind, **changes)
    with pytest.raises(ModelRefused, match=words):
        export(resolve(str(tmp_path / "model")), tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


@pytest.mark.usefixtures("smollm2_path")
def test_the_list_says_what_is_fetched() -> None:
    result = CliRunner().invoke(app, ["list"])
    assert "smollm2-135m\tApache-2.0\tfetched" in result.stdout
