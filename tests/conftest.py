"""Fixtures that every package's tests share."""

from pathlib import Path

import pytest

from sarathid.config import DEFAULT_MODEL
from sarathid.models.model_files import resolve


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The default model's GGUF file, fetched if the cache does not have it."""
    return resolve(DEFAULT_MODEL).path
