"""A quantized model is the model of its rounded weights, and nothing else of it is rounded."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from sarathi_kernels.backend import AttentionBackend
from sarathi_kernels.layers import CPULayers, TorchLayers
from sarathi_kernels.llama_block import LlamaBlockCall, LlamaWeights
from sarathi_kernels.quantized import Quantization, QuantizedMatrix

from sarathid.errors import ModelRefused
from tests.kernels.host_memory import host_memory
from tests.models.paged_model import PagedModel, Share
from tests.models.tiny import VOCAB_SIZE, save_tiny_model

TOKENS = torch.randint(VOCAB_SIZE, (90,), generator=torch.Generator().manual_seed(1)).tolist()
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("Llama", {"intermediate_size": 160}),
    "llama": ("Llama", {"intermediate_size": 160, "attention_bias": True, "tie_word_embeddings": True}),
    "falcon": ("Falcon", {"ffn_hidden_size": 160, "new_decoder_architecture": True, "bias": True}),
}


def rounded(weight: torch.Tensor, quantization: Quantization) -> torch.nn.Parameter:
    matrix = QuantizedMatrix.empty(quantization, len(weight), weight.shape[1], host_memory)
    matrix.take(weight)
    return torch.nn.Parameter(matrix.to_floats(torch.float32))


def round_weights(model: Any, quantization: Quantization) -> None:
    """Round the matrices of every layer, and that of the output head to 8 bits; the embedding stays as it is."""
    model.lm_head.weight = rounded(model.lm_head.weight.data, Quantization.INT8)
    for name, parameter in model.named_parameters():
        is_matrix_of_a_layer = parameter.dim() == 2 and (".layers." in name or ".h." in name)
        if is_matrix_of_a_layer:
            parameter.data.copy_(rounded(parameter.data, quantization))


@pytest.mark.parametrize("quantization", list(Quantization))
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_rounded_weights(
    kind: str, quantization: Quantization, tmp_path: Path, kernel_directory: Path
) -> None:
    name, changes = KINDS[kind]
    oracle = save_tiny_model(tmp_path, name, **changes)
    round_weights(oracle, quantization)
    paged = PagedModel(tmp_path, kernel_directory, num_sequences=1, quantization=quantization)
    with torch.inference_mode():
        expected = oracle(torch.tensor([TOKENS])).logits[0]
    (found,) = paged.run_chunked([TOKENS], 32)
    # Integer products round each row of activations to 16 bits, which three layers of this model make 5e-4 of.
    assert (found - expected).abs().mean() < 2e-3
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)


@pytest.mark.parametrize("kv_dtype", [torch.float32, torch.float16], ids=["floats", "halves"])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_in_int8_have_the_same_bits_however_a_sequence_is_cut(
    kind: str, kv_dtype: torch.dtype, tmp_path: Path, kernel_directory: Path
) -> None:
    name, changes = KINDS[kind]
    save_tiny_model(tmp_path, name, **changes)
    num_prompt, others = 60, tuple(TOKENS[:40])
    found = []
    for cuts in ((0, 60, *range(61, 91)), (0, 90), (0, 1, 2, 33, 59, 75, 90)):
        paged = PagedModel(
            tmp_path, kernel_directory, num_sequences=2, quantization=Quantization.INT8, kv_dtype=kv_dtype
        )
        logits = []
        for first, end in pairwise(cuts):
            share = Share(0, tuple(TOKENS[first:end]), first, max(0, end - max(first, num_prompt)))
            logits.append(paged.run([share, Share(1, others[: end % 40 + 1], 0)])[0])
        found.append(torch.cat(logits))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("name", ["Llama", "Qwen2", "Qwen3"])
def test_a_block_in_one_call_computes_what_its_parts_do(
    name: str, tmp_path: Path, kernel_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tiny_model(tmp_path, name)
    made: list[LlamaBlockCall | None] = []
    in_one_call = CPULayers.in_one_call

    def spy(layers: CPULayers, weights: LlamaWeights, attention: AttentionBackend) -> LlamaBlockCall | None:
        made.append(in_one_call(layers, weights, attention))
        return made[-1]

    def logits() -> list[torch.Tensor]:
        paged = PagedModel(
            tmp_path, kernel_directory, num_sequences=3, quantization=Quantization.INT8, kv_dtype=torch.float16
        )
        return paged.run_chunked([TOKENS[:90], TOKENS[:41], TOKENS[:1]], 40)

    monkeypatch.setattr(CPULayers, "in_one_call", spy)
    whole = logits()
    monkeypatch.setattr(CPULayers, "in_one_call", TorchLayers.in_one_call)
    parts = logits()
    assert len(made) == (3 if name == "Llama" else 0) and None not in made, "biases and norms of heads have no kernel"
    assert all(torch.equal(found, expected) for found, expected in zip(whole, parts, strict=True))


def test_rows_that_do_not_divide_into_groups_are_refused(tmp_path: Path, kernel_directory: Path) -> None:
    save_tiny_model(tmp_path, intermediate_size=80)
    with pytest.raises(ModelRefused, match="multiple of 32 weights, and this model has some of 80"):
        PagedModel(tmp_path, kernel_directory, quantization=Quantization.INT4)
