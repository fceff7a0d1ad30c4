from collections.abc import Iterator

import pytest

from tests.end_to_end.running_daemon import RunningDaemon, serving


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon that all tests share; none of them stops it or leaves it retuned."""
    with serving(tmp_path_factory.mktemp("shared") / "run", "--budget", "128") as running:
        yield running
