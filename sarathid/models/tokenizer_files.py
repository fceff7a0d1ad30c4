"""Tokenizers and chat templates out of model directories and GGUF metadata; loads no torch."""

from pathlib import Path
from typing import Any

import msgspec
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from sarathid.errors import ModelRefused
from sarathid.models.gguf import GGUFFile

_CONTROL = 3
_USER_DEFINED = 4

# The splits that llama.cpp's names stand for. SmolLM2 takes every digit off before GPT-2's byte-level split.
_BYTE_LEVEL_BPE = "gpt2"
_LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class _NamedTemplate(msgspec.Struct):
    """One of several chat templates; the one called `default` is used."""

    name: str
    template: str


class _TokenizerJson(msgspec.Struct):
    """What we read of Hugging Face's tokenizer_config.json."""

    chat_template: str | tuple[_NamedTemplate, ...] | None = None


def read_tokenizer(directory: Path) -> Tokenizer:
    """Return the tokenizer of a model directory; raises `ModelRefused` when tokenizer.json is missing or broken."""
    path = directory / "tokenizer.json"
    if not path.exists():
        raise ModelRefused(f"{path} is missing; a model directory needs it")
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises nothing narrower
        raise ModelRefused(f"{path} is not a tokenizer: {error}") from error


def read_chat_template(directory: Path) -> str | None:
    """Return the chat template of a model directory, None where it has none; raises `ModelRefused` for a broken one."""
    separate, path = directory / "chat_template.jinja", directory / "tokenizer_config.json"
    if separate.exists():
        return _text(separate)
    if not path.exists():
        return None
    try:
        template = msgspec.json.decode(_text(path), type=_TokenizerJson).chat_template
    except (msgspec.DecodeError, RecursionError) as error:
        raise ModelRefused(f"{path}: {error}") from error
    if isinstance(template, tuple):
        return next((named.template for named in template if named.name == "default"), None)
    return template


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelRefused(f"{path} can't be read: {error}") from error


def build_gguf_tokenizer(file: GGUFFile) -> Tokenizer:
    """Return the tokenizer that a GGUF file's metadata describe.

    Raises `ModelRefused` for anything but byte-level BPE with a split that we know.
    """
    kind = file.metadata.get("tokenizer.ggml.model")
    if kind != _BYTE_LEVEL_BPE:
        raise ModelRefused(
            f"{file.path}: a GGUF tokenizer of kind {kind!r} is not served; give a directory with tokenizer.json"
        )
    tokens, tokenizer = _read_bpe(file)
    tokenizer.pre_tokenizer = _pre_tokenizer(file)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = _post_processor(file, tokens)
    tokenizer.add_special_tokens(_added_tokens(file, tokens, _CONTROL))
    tokenizer.add_tokens(_added_tokens(file, tokens, _USER_DEFINED))
    return tokenizer


def _read_bpe(file: GGUFFile) -> tuple[list[str], Tokenizer]:
    try:
        tokens: list[str] = file.metadata["tokenizer.ggml.tokens"]
        merges = [tuple(merge.split(" ", 1)) for merge in file.metadata["tokenizer.ggml.merges"]]
    except KeyError as error:
        raise ModelRefused(f"{file.path}: the metadata has no {error.args[0]}") from error
    vocabulary = {token: index for index, token in enumerate(tokens)}
    try:
        return tokens, Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    except Exception as error:  # the library raises nothing narrower
        raise ModelRefused(f"{file.path}: its tokens and merges do not fit together: {error}") from error


def _pre_tokenizer(file: GGUFFile) -> Any:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    match file.metadata.get("tokenizer.ggml.pre", "default"):
        case "smollm":
            return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
        case "gpt-2":
            return byte_level
        case "llama-bpe" | "llama3":
            split = pre_tokenizers.Split(Regex(_LLAMA3_SPLIT), behavior="isolated")
            return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        case unknown:
            raise ModelRefused(
                f"{file.path}: the pre-tokenizer {unknown!r} is not known; give a directory with tokenizer.json"
            )


def _post_processor(file: GGUFFile, tokens: list[str]) -> Any:
    byte_level = processors.ByteLevel(trim_offsets=False)
    if not file.metadata.get("tokenizer.ggml.add_bos_token", False):
        return byte_level
    bos_token_id: int = file.metadata["tokenizer.ggml.bos_token_id"]
    bos = tokens[bos_token_id]
    template = processors.TemplateProcessing(single=[bos, "$A"], special_tokens=[(bos, bos_token_id)])
    return processors.Sequence([byte_level, template])


def _added_tokens(file: GGUFFile, tokens: list[str], kind: int) -> list[AddedToken]:
    kinds: list[int] = file.metadata.get("tokenizer.ggml.token_type", [])
    is_special = kind == _CONTROL
    return [
        AddedToken(token, special=is_special, normalized=False)
        for token, its_kind in zip(tokens, kinds, strict=False)
        if its_kind == kind
    ]


def read_gguf_chat_template(file: GGUFFile) -> str | None:
    """Return the chat template in a GGUF file's metadata, None where it has none."""
    template: str | None = file.metadata.get("tokenizer.chat_template")
    return template
