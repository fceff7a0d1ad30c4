"""The same logits as transformers, however a sequence is cut into chunks and whoever runs beside it."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from sarathid.models.model_files import resolve
from tests.models.paged_model import PagedModel, Share
from tests.models.tiny import LLAMA3_ROPE, VOCAB_SIZE, YARN_ROPE, save_tiny_model

TOLERANCE = 1e-4

LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 1000.0, "factor": 4.0}
DYNAMIC_ROPE = {"rope_type": "dynamic", "rope_theta": 1000.0, "factor": 4.0}
WINDOW = {"sliding_window": 24, "attn_implementation": "eager"}

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "smollm2": ("Llama", {"tie_word_embeddings": True}),
    "yi": ("Llama", {"hidden_size": 112, "num_attention_heads": 14, "head_dim": 16}),
    "one KV head": ("Llama", {"num_key_value_heads": 1}),
    "no grouping": ("Llama", {"num_key_value_heads": 6}),
    "odd head size": ("Llama", {"head_dim": 20}),
    "head size 80": ("Llama", {"head_dim": 80}),
    "biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "llama3 rope": ("Llama", {"rope_parameters": LLAMA3_ROPE}),
    "linear rope": ("Llama", {"rope_parameters": LINEAR_ROPE}),
    "dynamic rope": ("Llama", {"rope_parameters": DYNAMIC_ROPE}),
    "yarn rope": ("Llama", {"rope_parameters": YARN_ROPE}),
    "mistral": ("Mistral", WINDOW),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen2 window": ("Qwen2", {"use_sliding_window": True, "max_window_layers": 0, **WINDOW}),
    "qwen3": ("Qwen3", {"tie_word_embeddings": True}),
    "qwen3 biases": ("Qwen3", {"attention_bias": True, "num_attention_heads": 10}),
    "falcon 7B": ("Falcon", {}),
    "falcon 40B": ("Falcon", {"new_decoder_architecture": True}),
    "falcon 11B": ("Falcon", {"new_decoder_architecture": True, "num_ln_in_parallel_attn": 1}),
    "falcon biases": ("Falcon", {"new_decoder_architecture": True, "bias": True, "tie_word_embeddings": False}),
    "falcon without sharing": ("Falcon", {"multi_query": False, "bias": True, "num_kv_heads": 6}),
}
NUM_GREEDY = 64


def random_sequences() -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(VOCAB_SIZE, (length,), generator=generator).tolist() for length in (70, 33, 101)]


def hf_logits(model: transformers.PreTrainedModel, tokens: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor([tokens])).logits[0]
    return logits


@pytest.mark.parametrize("kind", KINDS)
def test_logits_match_whatever_the_chunks(kind: str, tmp_path: Path, kernel_directory: Path) -> None:
    name, changes = KINDS[kind]
    oracle = save_tiny_model(tmp_path, name, **changes)
    sequences = random_sequences()
    expected = [hf_logits(oracle, tokens) for tokens in sequences]
    paged = PagedModel(tmp_path, kernel_directory, block_size=7)
    for chunk_len in (1, 7, 64, 101):
        for found, wanted in zip(paged.run_chunked(sequences, chunk_len), expected, strict=True):
            torch.testing.assert_close(found, wanted, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_tokens_are_those_of_transformers(kind: str, tmp_path: Path, kernel_directory: Path) -> None:
    name, changes = KINDS[kind]
    oracle = save_tiny_model(tmp_path, name, **changes)
    prompts = random_sequences()
    paged = PagedModel(tmp_path, kernel_directory, block_size=16)
    for prompt, tokens in zip(prompts, paged.run_greedy(prompts, 7, NUM_GREEDY), strict=True):
        best = hf_logits(oracle, [*prompt, *tokens])[len(prompt) - 1 : -1].argmax(dim=-1)
        assert tokens == best.tolist()


@pytest.mark.parametrize("attention", ["cpu", "torch", "reference"])
@pytest.mark.parametrize("block_size", [1, 16, 256])
def test_logits_match_on_every_backend_and_block_size(
    attention: str, block_size: int, tmp_path: Path, kernel_directory: Path
) -> None:
    oracle = save_tiny_model(tmp_path)
    paged = PagedModel(tmp_path, kernel_directory, block_size=block_size, attention=attention)
    (found, *_) = paged.run_chunked(random_sequences(), 16)
    torch.testing.assert_close(found, hf_logits(oracle, random_sequences()[0]), atol=TOLERANCE, rtol=0)


def test_smollm2_says_what_transformers_says(
    exported_smollm2: Path, smollm2_path: Path, kernel_directory: Path
) -> None:
    oracle = transformers.AutoModelForCausalLM.from_pretrained(exported_smollm2, dtype=torch.float32)
    tokenizer = resolve(str(smollm2_path)).tokenizer
    paged = PagedModel(smollm2_path, kernel_directory, num_sequences=1)
    for text in ("The capital of France is", "1 + 2 = 3, 10 + 20 = ", "def fibonacci(n):\n    if n <"):
        tokens = tokenizer.encode(text).ids
        logits = paged.run([Share(0, tuple(tokens), 0)])[0]
        for _ in range(24):
            tokens.append(int(logits[-1].argmax()))
            logits = paged.run([Share(0, (tokens[-1],), len(tokens) - 1)])[0]
        expected = hf_logits(oracle, tokens)
        torch.testing.assert_close(logits[-1], expected[-1], atol=1e-3, rtol=0)
        greedy = expected[:-1].argmax(dim=-1)[-24:]
        assert tokens[-24:] == greedy.tolist()
