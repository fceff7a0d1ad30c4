"""Fixtures that every package's tests share."""

from pathlib import Path

import pytest

from sarathid.config import DEFAULT_MODEL
from sarathid.models.model_files import resolve
from tests.kernels.interpreter import triton_interpreter

with triton_interpreter() as import_triton:
    import_triton()  # before transformers imports it, and what it defines is meant for a GPU


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The default model's GGUF file, fetched if the cache does not have it."""
    return resolve(DEFAULT_MODEL).path
