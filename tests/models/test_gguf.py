"""GGUF files: every value as written, every tensor as the gguf package dequantizes it, broken files refused."""

import struct
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType

from sarathid.errors import ModelRefused
from sarathid.models.gguf import GGUFFile, dequantize
from sarathid.models.gguf_model import read_gguf_config, undo_rope_permutation
from sarathid.models.model_config import ModelConfig
from sarathid.models.rope_config import RopeConfig
from tests.models.k_quants import q4_k, q5_k, q6_k, random_blocks

QUANTIZATIONS = [
    GGMLQuantizationType.F32,
    GGMLQuantizationType.F16,
    GGMLQuantizationType.BF16,
    GGMLQuantizationType.Q8_0,
    GGMLQuantizationType.Q4_0,
    GGMLQuantizationType.Q4_1,
    GGMLQuantizationType.Q5_0,
    GGMLQuantizationType.Q5_1,
]

K_QUANTS = {GGMLQuantizationType.Q4_K: q4_k, GGMLQuantizationType.Q5_K: q5_k, GGMLQuantizationType.Q6_K: q6_k}


def write_gguf(path: Path) -> dict[str, np.ndarray]:
    """Write a file with fields of every kind and a [4, 64] tensor of each quantization; return what was quantized."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_string("text", "grüße")
    writer.add_int32("negative", -5)
    writer.add_uint64("large", 1 << 40)
    writer.add_float32("ratio", 0.25)
    writer.add_bool("flag", True)
    writer.add_array("names", ["a", "", "ü"])
    writer.add_array("numbers", [3, 1, 2])
    values = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    written = {}
    for quantization in QUANTIZATIONS:
        written[quantization.name] = gguf.quants.quantize(values, quantization)
        writer.add_tensor(quantization.name, written[quantization.name], raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return written


def test_metadata_is_read_as_written(tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf")
    metadata = GGUFFile(tmp_path / "model.gguf").metadata
    expected = {"text": "grüße", "negative": -5, "large": 1 << 40, "ratio": 0.25, "flag": True}
    expected |= {"names": ["a", "", "ü"], "numbers": [3, 1, 2]}
    assert {key: metadata[key] for key in expected} == expected


@pytest.mark.parametrize("quantization", QUANTIZATIONS, ids=lambda quantization: quantization.name)
def test_tensors_are_dequantized(tmp_path: Path, quantization: GGMLQuantizationType) -> None:
    written = write_gguf(tmp_path / "model.gguf")
    file = GGUFFile(tmp_path / "model.gguf")
    assert file.tensors[quantization.name].shape == (4, 64)
    expected = gguf.quants.dequantize(written[quantization.name], quantization)
    np.testing.assert_array_equal(file.read(quantization.name), expected)


@pytest.mark.parametrize("quantization", K_QUANTS, ids=lambda quantization: quantization.name)
def test_k_quants_are_dequantized_as_ggml_does_it(tmp_path: Path, quantization: GGMLQuantizationType) -> None:
    blocks = random_blocks(quantization, num_blocks=6)
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_tensor("weight", blocks.reshape(3, -1), raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = GGUFFile(tmp_path / "model.gguf").read("weight")
    assert found.shape == (3, 512)
    expected = [list(K_QUANTS[quantization](block)) for block in blocks]
    np.testing.assert_allclose(found.reshape(6, 256), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found.reshape(3, -1), gguf.quants.dequantize(blocks.reshape(3, -1), quantization))


@pytest.mark.parametrize("num_blocks", [1, 15, 16, 17, 100])
def test_pieces_of_a_large_tensor_are_put_together(monkeypatch: pytest.MonkeyPatch, num_blocks: int) -> None:
    monkeypatch.setattr("sarathid.models.gguf._BYTES_AT_ONCE", 16 * 144)
    blocks = random_blocks(GGMLQuantizationType.Q4_K, num_blocks)
    expected = gguf.quants.dequantize(blocks, GGMLQuantizationType.Q4_K).ravel()
    np.testing.assert_array_equal(dequantize(blocks.ravel(), GGMLQuantizationType.Q4_K), expected)


@pytest.mark.parametrize("shape", [(1 << 40, 1 << 40), (0, 32), (33,), (1,) * 5], ids=str)
def test_absurd_dimensions_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "model.gguf"
    name = b"token_embd.weight"
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 0)
    tensor = struct.pack("<Q", len(name)) + name + struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
    path.write_bytes(head + tensor + struct.pack("<IQ", GGMLQuantizationType.Q8_0, 0) + bytes(4096))
    with pytest.raises(ModelRefused, match=r"not a whole GGUF file: .*token_embd\.weight"):
        GGUFFile(path)


def test_a_kind_that_is_not_dequantized_is_named(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_tensor("weight", np.arange(32, dtype=np.int32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelRefused, match="weight is I32, which is not served"):
        GGUFFile(tmp_path / "model.gguf").read("weight")


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path)
    whole = path.read_bytes()
    for num_bytes in [*range(1, 600, 7), len(whole) // 2, len(whole) - 100]:
        path.write_bytes(whole[:num_bytes])
        with pytest.raises(ModelRefused, match="not a whole GGUF file"):
            GGUFFile(path)


@pytest.mark.parametrize(
    "damage",
    [
        (0, b"GGML"),
        (4, (9).to_bytes(4, "little")),
        (8, (1 << 60).to_bytes(8, "little")),
        (16, (1 << 60).to_bytes(8, "little")),
        (24, (1 << 60).to_bytes(8, "little")),
    ],
    ids=["magic", "version", "tensor count", "field count", "key length"],
)
def test_a_damaged_head_is_refused(tmp_path: Path, damage: tuple[int, bytes]) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path)
    at, replacement = damage
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + replacement + whole[at + len(replacement) :])
    with pytest.raises(ModelRefused, match="not a whole GGUF file"):
        GGUFFile(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with pytest.raises(ModelRefused, match="not a whole GGUF file"):
        GGUFFile(tmp_path / "model.gguf")


def write_fields(
    path: Path,
    fields: Mapping[str, float],
    architecture: str = "llama",
    tensor: str = "token_embd.weight",
    rope_scaling: str = "none",
) -> GGUFFile:
    writer = gguf.GGUFWriter(path, architecture)
    for name, value in fields.items():
        if isinstance(value, int):
            writer.add_uint32(name, value)
        else:
            writer.add_float32(name, value)
    writer.add_string("llama.rope.scaling.type", rope_scaling)
    writer.add_tensor(tensor, np.zeros((8, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return GGUFFile(path)


def test_metadata_that_describe_no_llama_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with pytest.raises(ModelRefused, match="'mamba' is not served; 'llama' is"):
        read_gguf_config(write_fields(path, {}, "mamba"))
    with pytest.raises(ModelRefused, match=r"no tensor token_embd\.weight"):
        read_gguf_config(write_fields(path, {}, tensor="other"))
    with pytest.raises(ModelRefused, match=r"missing required field `llama\.block_count`"):
        read_gguf_config(write_fields(path, {}))
    with pytest.raises(ModelRefused, match=r"llama\.block_count"):
        read_gguf_config(write_fields(path, {"llama.block_count": 0}))
    with pytest.raises(ModelRefused, match=r"llama\.block_count"):
        read_gguf_config(write_fields(path, SMALLEST_LLAMA | {"llama.block_count": 1 << 23}))


SMALLEST_LLAMA = {
    "llama.block_count": 1,
    "llama.embedding_length": 32,
    "llama.feed_forward_length": 32,
    "llama.attention.head_count": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.context_length": 64,
}


def test_linear_rope_scaling_is_read_and_others_are_refused(tmp_path: Path) -> None:
    scaling = {"llama.rope.scaling.factor": 4.0}
    found = read_gguf_config(write_fields(tmp_path / "a.gguf", SMALLEST_LLAMA | scaling, rope_scaling="linear"))
    assert found.rope.frequency_factors == (4.0,) * 8
    with pytest.raises(ModelRefused, match="'yarn' is not served in GGUF"):
        read_gguf_config(write_fields(tmp_path / "b.gguf", SMALLEST_LLAMA | scaling, rope_scaling="yarn"))


@pytest.mark.parametrize("alignment", [0, 1 << 31])
def test_an_alignment_that_leads_nowhere_is_refused(tmp_path: Path, alignment: int) -> None:
    with pytest.raises(ModelRefused, match="not a whole GGUF file"):
        write_fields(tmp_path / "model.gguf", {"general.alignment": alignment})


@pytest.mark.parametrize(("name", "num_heads"), [("q_proj", 6), ("k_proj", 2)])
def test_rope_permutation_of_llama_cpp_is_undone(name: str, num_heads: int) -> None:
    config = ModelConfig(
        architecture="LlamaForCausalLM",
        vocab_size=8,
        hidden_size=16,
        intermediate_size=8,
        num_layers=1,
        num_heads=6,
        num_kv_heads=2,
        head_dim=4,
        norm_eps=1e-5,
        rope=RopeConfig(theta=10_000.0),
        max_position_embeddings=8,
        is_tied=True,
    )
    ours = np.arange(num_heads * 4 * 16, dtype=np.float32).reshape(num_heads * 4, 16)
    # As llama.cpp's converter does it (LlamaModel.permute in convert_hf_to_gguf.py).
    theirs = ours.reshape(num_heads, 2, 2, 16).swapaxes(1, 2).reshape(ours.shape)
    assert not np.array_equal(ours, theirs)
    np.testing.assert_array_equal(
        undo_rope_permutation(f"model.layers.0.self_attn.{name}.weight", theirs, config), ours
    )
    untouched = undo_rope_permutation("model.layers.0.self_attn.v_proj.weight", theirs, config)
    np.testing.assert_array_equal(untouched, theirs)
