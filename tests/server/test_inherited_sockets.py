import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sarathid.errors import ConfigError
from sarathid.server.inherited_sockets import inherited_sockets
from sarathid.server.runtime_directory import RuntimeDirectory


@contextmanager
def listening_at(path: Path, mode: int = 0o600) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        path.chmod(mode)
        listener.listen()
        yield listener


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def passing(descriptor: int, monkeypatch: pytest.MonkeyPatch, pid: int | None = None) -> dict[str, str]:
    """Return the environment of a process that is passed this one descriptor, and nothing else at it."""
    monkeypatch.setattr("sarathid.server.inherited_sockets.FIRST_FD", os.dup(descriptor))
    return {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "HOME": "/"}


def test_a_socket_that_was_passed_is_served_and_stays(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening_at(directory / "a.sock") as listener:
        environment = passing(listener.fileno(), monkeypatch)
        with (
            RuntimeDirectory(directory, None, inherited_sockets(environment)) as run,
            run.listen("a.sock") as taken,
            socket.socket(socket.AF_UNIX) as client,
        ):
            client.connect(os.fspath(directory / "a.sock"))
            taken.accept()[0].close()
            assert not os.get_inheritable(taken.fileno())

        assert environment == {"HOME": "/"}
        assert (directory / "a.sock").is_socket()


def test_what_was_passed_to_another_process_is_left_alone(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening_at(directory / "a.sock") as listener:
        assert inherited_sockets(passing(listener.fileno(), monkeypatch, pid=1)) == {}
    assert inherited_sockets({}) == {}


def test_a_socket_that_others_may_connect_to_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening_at(directory / "a.sock", mode=0o666) as listener:
        inherited = inherited_sockets(passing(listener.fileno(), monkeypatch))
        with RuntimeDirectory(directory, None, inherited) as run:
            with pytest.raises(ConfigError, match="SocketMode=0600"):
                run.listen("a.sock")
            inherited.popitem()[1].close()


def test_a_group_that_may_connect_is_the_one_that_was_meant(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening_at(directory / "a.sock", mode=0o660) as listener:
        inherited = inherited_sockets(passing(listener.fileno(), monkeypatch))
        with RuntimeDirectory(directory, os.getgid(), inherited) as run, run.listen("a.sock"):
            assert stat.S_IMODE(directory.stat().st_mode) == 0o710


def test_a_socket_in_another_place_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening_at(directory / "a.sock") as listener:
        inherited = inherited_sockets(passing(listener.fileno(), monkeypatch))
        with pytest.raises(ConfigError, match="is --runtime-dir"):
            RuntimeDirectory(directory / "run", None, inherited)
        inherited.popitem()[1].close()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_a_socket_without_a_path_is_refused(family: socket.AddressFamily, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(family) as listener:
        listener.bind(("127.0.0.1", 0) if family is socket.AF_INET else f"\0sarathid-test-{os.getpid()}")
        listener.listen()
        with pytest.raises(ConfigError, match="does not listen at a path"):
            inherited_sockets(passing(listener.fileno(), monkeypatch))


def test_a_descriptor_that_is_no_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(ConfigError, match="is no socket"):
        inherited_sockets(passing(file.fileno(), monkeypatch))
