"""A model of Mistral-7B's shape with dummy weights, on an engine's executor."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sarathid.config import EngineConfig
from sarathid.executor.base import ExecutorInfo
from sarathid.executor.decode_graphs import run_eagerly
from sarathid.executor.local import LocalExecutor

MISTRAL_7B: dict[str, Any] = {
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-5,
    "sliding_window": None,
}
SMALL = {
    **MISTRAL_7B,
    "vocab_size": 1000,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """An executor that has started, what it found, and what it was told."""

    executor: LocalExecutor
    info: ExecutorInfo
    config: EngineConfig
    path: Path


@contextmanager
def loaded(device: torch.device, directory: Path) -> Iterator[Loaded]:
    """Start the model, Mistral-7B's shape on a GPU and a small one elsewhere, whose decodes are padded all the same."""
    is_gpu = device.type == "cuda"
    path = directory / "mistral-7b"
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(MISTRAL_7B if is_gpu else SMALL), encoding="utf-8")
    config = EngineConfig(
        model=str(path),
        device=str(device),
        load_format="dummy",
        quantize="off",
        max_model_len=8192,
        max_num_seqs=128 if is_gpu else 8,
        kv_memory_bytes=None if is_gpu else 64 << 20,
        prefix_cache=False,
    )
    executor = LocalExecutor(config, capture=None if is_gpu else run_eagerly)
    try:
        yield Loaded(executor, executor.start(), config, path)
    finally:
        executor.close()
