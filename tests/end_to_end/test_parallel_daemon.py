"""A daemon whose model is on several ranks: streams outlive each of them, and nothing outlives the daemon."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.lost_ranks import EXACT_IN_PARTS, lose
from tests.end_to_end.running_daemon import STOP_TIMEOUT_S, RunningDaemon, serving
from tests.models.tiny import save_speaking_model


@pytest.fixture(scope="module")
def speaking_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose words are the numbers of its tokens, the same in 8 bits whatever is computed beside it."""
    return save_speaking_model(tmp_path_factory.mktemp("models") / "tiny", **EXACT_IN_PARTS)


@contextmanager
def serving_tiny(path: Path, directory: Path, *flags: str) -> Iterator[RunningDaemon]:
    flags = ("--model", str(path), "--device", "cpu", "--threads", "1", "--slo-tbt", "off", "--budget", "64", *flags)
    with serving(directory / "run", *flags) as daemon:
        yield daemon


def test_streams_go_on_behind_a_rank_that_is_killed(speaking_path: Path, tmp_path: Path) -> None:
    with serving_tiny(speaking_path, tmp_path, "--pp", "2") as daemon:
        reason, _ = lose(daemon, 1, signal.SIGKILL)
        assert "rank 1 was killed by SIGKILL" in reason
        children = psutil.Process(daemon.process.pid).children(recursive=True)
        daemon.process.kill()
        assert not psutil.wait_procs(children, STOP_TIMEOUT_S)[1]


@pytest.mark.long
@pytest.mark.parametrize("victim", range(4))
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=lambda how: how.name)
def test_streams_go_on_behind_any_rank(
    speaking_path: Path, tmp_path: Path, how: signal.Signals, victim: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving_tiny(speaking_path, tmp_path, "--tp", "2", "--pp", "2") as daemon:
        reason, noticed_s = lose(daemon, victim, how)
        with capsys.disabled():
            print(f"\nrank {victim}, {how.name}: noticed after {noticed_s:.2f} s: {reason}")
        said = "was killed by SIGKILL" if how == signal.SIGKILL else "of tp=2 pp=2, silent"
        assert f"rank {victim} {said}" in reason
