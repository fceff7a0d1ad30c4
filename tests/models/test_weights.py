"""Weights are loaded whole, from one file or many, or refused naming the tensor."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sarathi_kernels.layers import TorchLayers

from sarathid.errors import ModelRefused
from sarathid.models.decoder import Decoder
from sarathid.models.layers.context import LayerContext
from sarathid.models.model_files import resolve
from sarathid.models.registry import build_model
from sarathid.models.share import ModelShare
from sarathid.models.weights import fill_dummy, load_weights, open_weights
from tests.models.tiny import save_tiny_model

WEIGHTS = "model.safetensors"
NAME = "model.layers.1.self_attn.k_proj.weight"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    save_tiny_model(tmp_path)
    return tmp_path


def make_model(directory: Path) -> Decoder:
    share = ModelShare.whole(resolve(str(directory)).config)
    return build_model(share, 8, LayerContext(torch.device("cpu"), torch.float32, TorchLayers()))


def load(directory: Path) -> Decoder:
    model = make_model(directory)
    load_weights(model.checkpoint_tensors(), open_weights(resolve(str(directory))), 2)
    return model


def read_back(directory: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of the loaded model, all of which lie as the checkpoint has them."""
    loaded = {}
    for tensor in load(directory).checkpoint_tensors():
        assert isinstance(tensor.destination, torch.Tensor)
        loaded[tensor.name] = tensor.destination
    return loaded


def change(directory: Path, **tensors: torch.Tensor | None) -> None:
    """Replace, add or (None) remove tensors of the directory's weights."""
    weights = {**load_file(directory / WEIGHTS), **tensors}
    save_file({name: tensor for name, tensor in weights.items() if tensor is not None}, directory / WEIGHTS)


def test_every_tensor_arrives(directory: Path) -> None:
    loaded = read_back(directory)
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
    loaded = read_back(directory)
    assert all(torch.equal(loaded[name], whole[name]) for name in whole)


def test_half_precision_is_widened(directory: Path) -> None:
    saved = {name: tensor.bfloat16() for name, tensor in load_file(directory / WEIGHTS).items()}
    save_file(saved, directory / WEIGHTS)
    assert all(torch.equal(tensor, saved[name].float()) for name, tensor in read_back(directory).items())


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


@pytest.mark.parametrize("damage", [torch.nan, torch.inf])
def test_a_number_that_is_none_is_refused(directory: Path, damage: float) -> None:
    weight = load_file(directory / WEIGHTS)[NAME]
    weight[3, 5] = damage
    change(directory, **{NAME: weight})
    with pytest.raises(ModelRefused, match=f"{NAME} holds numbers that are not finite"):
        load(directory)


def test_whole_numbers_are_refused(directory: Path) -> None:
    change(directory, **{NAME: torch.ones(64, 96, dtype=torch.int32)})
    with pytest.raises(ModelRefused, match=rf"{NAME} is of torch\.int32"):
        load(directory)


def test_progress_adds_up_to_the_model(directory: Path) -> None:
    files = resolve(str(directory))
    model = make_model(directory)
    loaded: list[int] = []
    load_weights(model.checkpoint_tensors(), open_weights(files), 2, loaded.append)
    assert sum(loaded) == sum(tensor.destination.nbytes for tensor in model.checkpoint_tensors())


def test_dummy_weights_are_finite_small_and_the_same_again(directory: Path) -> None:
    models = make_model(directory), make_model(directory)
    for model in models:
        fill_dummy(model.checkpoint_tensors(), torch.device("cpu"))
    for first, second in zip(*(model.checkpoint_tensors() for model in models), strict=True):
        one, other = first.destination, second.destination
        assert isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
        assert torch.equal(one, other) and 0.0 < one.abs().max() < 0.2


@pytest.mark.parametrize("index", ["{", '{"weight_map": [1]}', "{}"])
def test_a_broken_index_is_refused(directory: Path, index: str) -> None:
    (directory / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    with pytest.raises(ModelRefused, match=r"model\.safetensors\.index\.json"):
        load(directory)


def test_a_missing_shard_is_named(directory: Path) -> None:
    index = {"weight_map": {NAME: "part-7.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ModelRefused, match=r"part-7\.safetensors"):
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
