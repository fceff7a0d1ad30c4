from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sarathid.models.export import export
from sarathid.models.model_files import resolve


@pytest.fixture(scope="session")
def kernel_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests keep compiled kernels, so that each is compiled once."""
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="session")
def exported_smollm2(smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model in Hugging Face's layout."""
    directory = tmp_path_factory.mktemp("exported") / "smollm2"
    export(resolve(str(smollm2_path)), directory)
    return directory


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small problems on one thread: more would wait for each other at every operation on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
