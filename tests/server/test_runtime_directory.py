import os
import socket
import stat
from pathlib import Path

import pytest

from sarathid.errors import ConfigError, RuntimeDirectoryHeld
from sarathid.server.runtime_directory import RuntimeDirectory


def test_the_directory_and_its_sockets_are_their_owners_alone(tmp_path: Path) -> None:
    with RuntimeDirectory(tmp_path / "run") as directory, directory.listen("a.sock"):
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (directory.path, directory.path / "a.sock")]

    assert modes == [0o700, 0o600]


def test_leaving_takes_the_sockets_away(tmp_path: Path) -> None:
    with RuntimeDirectory(tmp_path) as directory, directory.listen("a.sock"):
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["sarathid.lock"]


def test_a_second_daemon_is_refused_by_the_pid_of_the_first(tmp_path: Path) -> None:
    with RuntimeDirectory(tmp_path) as first, first.listen("a.sock"):
        with pytest.raises(RuntimeDirectoryHeld, match=f"pid {os.getpid()}") as refused:
            RuntimeDirectory(tmp_path)
        assert (tmp_path / "a.sock").is_socket()
    assert refused.value.exit_code == 6


def test_the_directory_is_free_again_afterwards(tmp_path: Path) -> None:
    with RuntimeDirectory(tmp_path):
        pass
    with RuntimeDirectory(tmp_path):
        pass


def test_a_stale_socket_is_taken_over(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(os.fspath(tmp_path / "a.sock"))
    with RuntimeDirectory(tmp_path) as directory, directory.listen("a.sock"), socket.socket(socket.AF_UNIX) as client:
        client.connect(os.fspath(tmp_path / "a.sock"))


def test_a_file_in_a_sockets_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.sock").write_text("mine")
    with RuntimeDirectory(tmp_path) as directory, pytest.raises(ConfigError, match="not a socket"):
        directory.listen("a.sock")

    assert (tmp_path / "a.sock").read_text() == "mine"
