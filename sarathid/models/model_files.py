"""What lies on disk for one model, whichever its layout; loads no torch, so the daemon can use it."""

import sys
from functools import cached_property
from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer

from sarathid.errors import ModelRefused
from sarathid.models import catalog, fetch
from sarathid.models.config_json import read_config
from sarathid.models.gguf import GGUFFile
from sarathid.models.gguf_model import read_gguf_config
from sarathid.models.model_config import ModelConfig
from sarathid.models.tokenizer_files import (
    build_gguf_tokenizer,
    read_chat_template,
    read_gguf_chat_template,
    read_tokenizer,
)

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class ModelFiles(Protocol):
    """A model's name and all that is known of it without its weights.

    Each part is read when it is first asked for, and raises `ModelRefused` when it can't be.
    """

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> Path: ...

    @property
    def config(self) -> ModelConfig: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def chat_template(self) -> str | None: ...


class DirectoryFiles:
    """A directory in Hugging Face's layout: config.json, *.safetensors, tokenizer.json."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path

    @cached_property
    def config(self) -> ModelConfig:
        return read_config(self.path)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return read_tokenizer(self.path)

    @cached_property
    def chat_template(self) -> str | None:
        return read_chat_template(self.path)


class GGUFFiles:
    """One GGUF file, which holds everything."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path

    @cached_property
    def file(self) -> GGUFFile:
        return GGUFFile(self.path)

    @cached_property
    def config(self) -> ModelConfig:
        return read_gguf_config(self.file)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return build_gguf_tokenizer(self.file)

    @cached_property
    def chat_template(self) -> str | None:
        return read_gguf_chat_template(self.file)


def resolve(model: str, announce: fetch.Announce | None = None) -> DirectoryFiles | GGUFFiles:
    """Return the files of a model: a directory, a .gguf file, or a catalogued name, fetched if need be.

    `announce` hears of a fetch's progress (default: words on stderr). Raises `ModelRefused` when
    there is no such model or its weights are in a pickle.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return DirectoryFiles(path.resolve().name, path)
    if path.suffix in PICKLE_SUFFIXES:
        raise ModelRefused(f"{path}: pickle files can run code and are never loaded; give safetensors or GGUF")
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelRefused(f"{path} does not exist")
        return GGUFFiles(path.stem, path)
    fetchable = catalog.find(model)
    return GGUFFiles(fetchable.name, fetch.fetch(fetchable, announce or _say))


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
