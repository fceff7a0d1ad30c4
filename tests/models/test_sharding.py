"""A model in parts and stages gives the logits of the whole one, and each rank reads no more than it has."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sarathi_kernels.layers import CPULayers, LayerKernels
from sarathi_kernels.quantized import Quantization

from sarathid.errors import ModelRefused
from sarathid.executor.layout import Layout
from sarathid.models.layers.checkpoint import Region
from sarathid.models.model_files import resolve
from sarathid.models.share import ModelShare, split_layers
from sarathid.models.weights import open_weights
from tests.models.sharded_model import TORCH_LAYERS, ShardedModel
from tests.models.tiny import VOCAB_SIZE, save_tiny_model

TOLERANCE = 1e-4  # sums over ranks are added up in another order

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-tied": ("Llama", {"tie_word_embeddings": True}),
    "mistral-one-kv-head": ("Mistral", {"num_key_value_heads": 1, "sliding_window": 20}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {"num_key_value_heads": 6}),
    "falcon-7b": ("Falcon", {"new_decoder_architecture": False, "multi_query": True, "bias": True}),
    "falcon-40b": ("Falcon", {"new_decoder_architecture": True, "bias": True}),
    "falcon-180b-tied": ("Falcon", {"new_decoder_architecture": True, "tie_word_embeddings": True}),
}


@pytest.fixture(scope="module", params=FAMILIES)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind, changes = FAMILIES[request.param]
    directory: Path = tmp_path_factory.mktemp("models") / request.param
    save_tiny_model(directory, kind, **{"ffn_hidden_size" if kind == "Falcon" else "intermediate_size": 96}, **changes)
    return directory


def logits_of(
    path: Path,
    layout: Layout,
    quantization: Quantization | None = None,
    kernels: LayerKernels = TORCH_LAYERS,
) -> torch.Tensor:
    token_ids = torch.randint(VOCAB_SIZE, (50,), generator=torch.Generator().manual_seed(1)).tolist()
    model = ShardedModel(path, layout, quantization, kernels)
    try:
        return model.run(token_ids, chunk_len=17)
    finally:
        model.close()


def test_every_layout_gives_the_logits_of_the_whole_model(path: Path) -> None:
    whole = logits_of(path, Layout())
    assert whole.shape == (50, VOCAB_SIZE)
    for layout in (Layout(2, 1), Layout(1, 2), Layout(1, 3), Layout(2, 2)):
        torch.testing.assert_close(logits_of(path, layout), whole, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("kind", ["Llama", "Falcon"])
def test_each_kv_head_may_be_on_several_ranks(tmp_path: Path, kind: str) -> None:
    changes: dict[str, Any] = {"num_key_value_heads": 2} if kind == "Llama" else {"new_decoder_architecture": True}
    save_tiny_model(tmp_path, kind, num_attention_heads=12, **changes)
    whole = logits_of(tmp_path, Layout())
    torch.testing.assert_close(logits_of(tmp_path, Layout(4, 1)), whole, rtol=TOLERANCE, atol=TOLERANCE)


def test_on_a_cpu_8_bit_weights_give_the_bits_of_the_whole_model(path: Path, kernel_directory: Path) -> None:
    kernels = CPULayers(kernel_directory)
    whole = logits_of(path, Layout(), Quantization.INT8, kernels)
    for layout in (Layout(2, 1), Layout(1, 2), Layout(2, 2)):
        assert torch.equal(logits_of(path, layout, Quantization.INT8, kernels), whole)


@pytest.mark.parametrize("quantization", Quantization)
def test_few_bit_weights_are_cut_as_floats_are(tmp_path: Path, quantization: Quantization) -> None:
    save_tiny_model(tmp_path, intermediate_size=192)
    whole = logits_of(tmp_path, Layout(), quantization)
    cut = logits_of(tmp_path, Layout(2, 2), quantization)
    torch.testing.assert_close(cut, whole, rtol=TOLERANCE, atol=TOLERANCE)


def test_gguf_is_read_in_parts(smollm2_path: Path) -> None:
    source, config = open_weights(resolve(str(smollm2_path))), resolve(str(smollm2_path)).config
    head_rows = config.num_heads * config.head_dim
    for name, dim, size in (
        ("model.layers.3.self_attn.q_proj.weight", 0, head_rows),
        ("model.layers.3.self_attn.o_proj.weight", 1, head_rows),
        ("model.layers.3.mlp.down_proj.weight", 1, config.intermediate_size),
        ("model.layers.3.input_layernorm.weight", 0, config.hidden_size),
    ):
        whole, third = source.read(name), size // 3
        some = source.read(name, Region(dim, size, (range(third, 2 * third), range(third))))
        expected = torch.cat((whole.narrow(dim, third, third), whole.narrow(dim, 0, third)), dim)
        assert torch.equal(some, expected)


def test_ranks_have_every_weight_among_them_and_halve_what_is_cut(tmp_path: Path) -> None:
    save_tiny_model(tmp_path)
    config = resolve(str(tmp_path)).config
    whole, layout = ShardedModel(tmp_path, Layout()), Layout(2, 2)
    parts = ShardedModel(tmp_path, layout)
    names = [{tensor.name for tensor in model.checkpoint_tensors()} for model in parts.models]
    assert set.union(*names) == {tensor.name for tensor in whole.models[0].checkpoint_tensors()}
    assert names[0] == names[1] and names[2] == names[3] and not names[0] & names[2]
    num_values = sum(
        tensor.destination.nbytes for model in parts.models for tensor in model.checkpoint_tensors() if tensor.region
    )
    num_whole_values = sum(
        tensor.destination.nbytes for tensor in whole.models[0].checkpoint_tensors() if len(tensor.shape) == 2
    )
    assert num_values == num_whole_values
    assert layout.kv_bytes_per_token(config, 4) == ModelShare.whole(config).kv_bytes_per_token(4)


def test_layers_are_split_evenly_and_the_head_has_fewer() -> None:
    assert split_layers(10, 4) == (range(3), range(3, 6), range(6, 8), range(8, 10))
    with pytest.raises(ModelRefused, match="3 layers do not divide among 4 stages"):
        split_layers(3, 4)


@pytest.mark.parametrize(
    ("num_parts", "changes", "words"),
    [
        (4, {}, r"6 attention heads do not divide among 4 ranks; --tp 1 or 2 would do"),
        (6, {"num_attention_heads": 12, "num_key_value_heads": 4}, "4 KV heads do not divide among 6 ranks"),
        (3, {"num_key_value_heads": 3}, r"feed-forward layer of 80 does not divide among 3 ranks; --tp 1 would do"),
    ],
)
def test_what_does_not_divide_is_refused_with_what_would(
    tmp_path: Path, num_parts: int, changes: dict[str, Any], words: str
) -> None:
    save_tiny_model(tmp_path, **changes)
    with pytest.raises(ModelRefused, match=words):
        Layout(num_parts).share(resolve(str(tmp_path)).config, 0)
