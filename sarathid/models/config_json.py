"""Hugging Face's config.json, read by the reader of the architecture that it names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from sarathid.errors import ModelRefused
from sarathid.models.falcon_json import FalconJson, falcon_config
from sarathid.models.llama_json import LlamaJson, llama_config
from sarathid.models.model_config import ModelConfig

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class _AnyJson(msgspec.Struct):
    """What we read of every config.json."""

    architectures: tuple[str, ...]
    quantization_config: dict[str, Any] | None = None
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None


class _GenerationJson(msgspec.Struct):
    """What we read of Hugging Face's generation_config.json."""

    eos_token_id: int | tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Reader:
    """The fields of a family's config.json, and what makes a configuration of them and the architecture's name."""

    fields: type[msgspec.Struct]
    build: Callable[[Any, str], ModelConfig]


_LLAMA = _Reader(LlamaJson, llama_config)
READERS: Mapping[str, _Reader] = MappingProxyType(
    {
        "LlamaForCausalLM": _LLAMA,
        "MistralForCausalLM": _LLAMA,
        "Qwen2ForCausalLM": _LLAMA,
        "Qwen3ForCausalLM": _LLAMA,
        "FalconForCausalLM": _Reader(FalconJson, falcon_config),
    }
)


def read_config(directory: Path) -> ModelConfig:
    """Return the configuration of a model directory; raises `ModelRefused` naming the file and the field."""
    path = directory / "config.json"
    shared = _decode(path, _AnyJson)
    architecture = shared.architectures[0] if shared.architectures else "unnamed"
    reader = READERS.get(architecture)
    if reader is None:
        raise ModelRefused(f"{path}: the architecture {architecture} is not served; {', '.join(READERS)} are")
    if shared.quantization_config is not None:
        raise ModelRefused(f"{path}: quantized safetensors are not served; give the unquantized model or a GGUF")
    fields = _decode(path, reader.fields)
    try:
        config = reader.build(fields, architecture)
    except ModelRefused as error:
        raise ModelRefused(f"{path}: {error}") from error
    eos_token_ids = _eos_token_ids(directory, shared)
    try:
        return replace(config, bos_token_id=shared.bos_token_id, eos_token_ids=eos_token_ids)
    except ModelRefused as error:
        raise ModelRefused(f"{directory}: {error}") from error


def _decode(path: Path, type_: type[_Struct]) -> _Struct:
    try:
        return msgspec.json.decode(path.read_bytes(), type=type_)
    except FileNotFoundError:
        raise ModelRefused(f"{path} is missing; a model directory needs it") from None
    except OSError as error:
        raise ModelRefused(f"{path} can't be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelRefused(f"{path}: {error}") from error


def _eos_token_ids(directory: Path, config: _AnyJson) -> frozenset[int]:
    generation = directory / "generation_config.json"
    named = _decode(generation, _GenerationJson).eos_token_id if generation.exists() else None
    if named is None:
        named = config.eos_token_id
    if named is None:
        return frozenset()
    return frozenset((named,)) if isinstance(named, int) else frozenset(named)
