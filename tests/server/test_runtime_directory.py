import os
import socket
import stat
import subprocess
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


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("file", "is not a directory"),
        ("link to nothing", "is a symbolic link"),
        ("link", "is a symbolic link"),
        ("below a file", "can't be made"),
        ("/proc/sarathid", "can't be made"),
    ],
)
def test_a_place_where_no_directory_of_ours_can_be_is_refused(tmp_path: Path, place: str, words: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link to nothing").symlink_to(tmp_path / "nothing")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match=f"{words}.*; name another one"):
        RuntimeDirectory(tmp_path / place.replace("below a file", "file/run"))


def test_a_directory_that_others_use_too_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "theirs").touch()
    tmp_path.chmod(0o1777)
    with pytest.raises(ConfigError, match="lets others in"):
        RuntimeDirectory(tmp_path)

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777


def test_an_empty_directory_is_closed_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with RuntimeDirectory(tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_lock_that_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sarathid.lock").mkdir()
    with pytest.raises(ConfigError, match=r"sarathid\.lock"):
        RuntimeDirectory(tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a disk")
def test_a_disk_without_room_for_the_lock_is_told_of(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,mode=700", "tmpfs", tmp_path], check=True)
    try:
        (tmp_path / "somebody-elses").write_bytes(b"\0" * 4096)
        with pytest.raises(ConfigError, match=r"sarathid\.lock can't be written: No space left on device; make room"):
            RuntimeDirectory(tmp_path)
        (tmp_path / "somebody-elses").unlink()
        with RuntimeDirectory(tmp_path):
            assert (tmp_path / "sarathid.lock").read_text().strip() == str(os.getpid())
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with RuntimeDirectory(Path("@run")) as directory:  # to ZeroMQ a leading @ is a socket that no directory guards
        assert directory.path == tmp_path / "@run"


def test_a_group_may_pass_through_and_connect_and_no_longer_afterwards(tmp_path: Path) -> None:
    group_id = os.getgroups()[0] if os.getgroups() else os.getgid()
    with RuntimeDirectory(tmp_path / "run", group_id) as directory, directory.listen("a.sock"):
        found = [path.stat() for path in (directory.path, directory.path / "a.sock")]

    assert [(stat.S_IMODE(one.st_mode), one.st_gid) for one in found] == [(0o710, group_id), (0o660, group_id)]
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_the_directory_that_a_killed_daemon_left_open_to_its_group_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "sarathid.lock").touch()
    tmp_path.chmod(0o710)
    with RuntimeDirectory(tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
