"""Weights are loaded whole, from one file or many, or refused naming the tensor."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sarathi_kernels.layers import TorchLayers

from sarathid.errors import ModelRefused
from sarathid.models.layers.context import LayerContext
from sarathid.models.llama import LlamaForCausalLM
from sarathid.models.model_files import resolve
from sarathid.models.registry import build_model
from sarathid.models.weights import load_weights, open_weights
from tests.models.tiny import save_tiny_model

WEIGHTS = "model.safetensors"
NAME = "model.layers.1.self_attn.k_proj.weight"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    save_tiny_model(tmp_path)
    return tmp_path


def load(directory: Path) -> LlamaForCausalLM:
    files = resolve(str(directory))
    model = build_model(files.config, 8, LayerContext(torch.device("cpu"), torch.float32, TorchLayers()))
    load_weights(model.checkpoint_tensors(), open_weights(files), 2)
    return model


def change(directory: Path, **tensors: torch.Tensor | None) -> None:
    """Replace, add or (None) remove tensors of the directory's weights."""
    weights = {**load_file(directory / WEIGHTS), **tensors}
    save_file({name: tensor for name, tensor in weights.items() if tensor is not None}, directory / WEIGHTS)


def test_every_tensor_arrives(directory: Path) -> None:
    loaded = dict(load(directory).checkpoint_tensors())
    saved = load_file(directory / WEIGHTS)
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)


def test_shards_are_put_together(directory: Path) -> None:
    whole = load_file(directory / WEIGHTS)
    (directory / WEIGHTS).unlink()
    weight_map = {name: f"part-{index % 3}.safetensors" for index, name in enumerate(sorted(whole))}
    for shard in set(weight_map.values()):
        save_file({name: whole[name] for name in whole if weight_map[name] == shard}, directory / shard)
    index_file = directory / "model.safetensors.index.json"
    index_file.write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    loaded = dict(load(directory).checkpoint_tensors())
    assert all(torch.equal(loaded[name], whole[name]) for name in whole)


def test_half_precision_is_widened(directory: Path) -> None:
    saved = {name: tensor.bfloat16() for name, tensor in load_file(directory / WEIGHTS).items()}
    save_file(saved, directory / WEIGHTS)
    assert all(torch.equal(tensor, saved[name].float()) for name, tensor in load(directory).checkpoint_tensors())


def test_a_missing_tensor_is_named(directory: Path) -> None:
    change(directory, **{NAME: None})
    with pytest.raises(ModelRefused, match=f"have no {NAME}"):
        load(directory)


def test_a_wrong_shape_is_named(directory: Path) -> None:
    change(directory, **{NAME: torch.zeros(3, 5)})
    with pytest.raises(ModelRefused, match=rf"{NAME} has the shape \(3, 5\), .* asks for \(64, 96\)"):
        load(directory)


def test_a_tensor_that_nobody_uses_is_named(directory: Path) -> None:
    change(directory, **{"model.layers.0.self_attn.q_norm.weight": torch.zeros(32)})
    with pytest.raises(ModelRefused, match=r"q_norm\.weight, which this architecture does not use"):
        load(directory)


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "consolidated.00.pth", "model.pt"])
def test_pickles_are_refused(directory: Path, pickle: str) -> None:
    (directory / WEIGHTS).rename(directory / pickle)
    with pytest.raises(ModelRefused, match=f"{pickle}: pickle files can run code"):
        load(directory)
    with pytest.raises(ModelRefused, match="pickle files can run code"):
        resolve(str(directory / pickle))


def test_a_directory_without_weights_is_refused(directory: Path) -> None:
    (directory / WEIGHTS).unlink()
    with pytest.raises(ModelRefused, match="neither"):
        load(directory)


def test_a_truncated_file_is_refused(directory: Path) -> None:
    whole = (directory / WEIGHTS).read_bytes()
    (directory / WEIGHTS).write_bytes(whole[:-100])
    with pytest.raises(ModelRefused, match="not a whole safetensors file"):
        load(directory)


def test_an_index_may_not_name_files_elsewhere(directory: Path) -> None:
    index_file = directory / "model.safetensors.index.json"
    index_file.write_text(json.dumps({"weight_map": {NAME: "../elsewhere.safetensors"}}), encoding="utf-8")
    with pytest.raises(ModelRefused, match="outside of its directory"):
        load(directory)


def test_an_unknown_architecture_is_refused_with_those_there_are(directory: Path) -> None:
    path = directory / "config.json"
    path.write_text(path.read_text(encoding="utf-8").replace("LlamaForCausalLM", "MambaForCausalLM"), encoding="utf-8")
    with pytest.raises(ModelRefused, match="MambaForCausalLM is not served; LlamaForCausalLM"):
        load(directory)
