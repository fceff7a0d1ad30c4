"""Fixtures that every package's tests share."""

import os
from pathlib import Path

import pytest

# Models in tests are tiny and engines run beside them: one thread is fastest, and none may spin while it waits.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from sarathid.config import DEFAULT_MODEL
from sarathid.models.model_files import resolve
from tests.kernels.interpreter import triton_interpreter

with triton_interpreter() as import_triton:
    import_triton()  # before transformers imports it, and what it defines is meant for a GPU


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The default model's GGUF file, fetched if the cache does not have it."""
    return resolve(DEFAULT_MODEL).path
