import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.loopback import Loopback, serving_on_loopback
from tests.end_to_end.running_daemon import RunningDaemon


@pytest.fixture(scope="session")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """A daemon that all tests share; none of them stops it or leaves it retuned."""
    with serving_on_loopback(tmp_path_factory.mktemp("shared"), "--budget", "128") as served:
        yield served


@pytest.fixture(scope="session")
def daemon(loopback: Loopback) -> RunningDaemon:
    """The same, for who comes over the Unix socket."""
    return loopback.daemon


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users may pass through, as those of pytest are not."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        yield Path(directory)
