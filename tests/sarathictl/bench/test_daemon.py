"""Starting and stopping a daemon, with a program of three lines in its place."""

import os
import stat
import sys
from pathlib import Path

import pytest

from sarathictl.bench.daemon import find_program, own_daemon
from sarathictl.client.api import get_json
from sarathictl.client.endpoint import Endpoint
from sarathid.errors import ConfigError, EngineFailed, NotReachable

READY = """
import os, socket, sys
directory = sys.argv[sys.argv.index("--runtime-dir") + 1]
os.makedirs(directory)
print("pid", os.getpid(), flush=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.path.join(directory, "api.sock"))
listener.listen()
open(sys.argv[-1], "w").write(str(os.getpid()))
while True:
    connection, _ = listener.accept()
    path = connection.recv(4096).split()[1]
    if path == b"/die":
        sys.exit("out of memory")
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
"""


@pytest.fixture
def pid_file(tmp_path: Path) -> Path:
    return tmp_path / "pid"


def make_program(directory: Path, source: str) -> str:
    program = directory / "sarathid"
    program.write_text(f"#!{sys.executable}\n{source}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def is_alive(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def test_it_serves_while_the_context_is_open_and_leaves_nothing(tmp_path: Path, pid_file: Path) -> None:
    with own_daemon(make_program(tmp_path, READY), [str(pid_file)]) as endpoint:
        assert get_json(endpoint.api, "/ready") == {}
        assert is_alive(pid_file)

    assert not is_alive(pid_file)
    assert not endpoint.runtime_dir.parent.exists()


def test_it_is_stopped_when_the_body_fails(tmp_path: Path, pid_file: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        own_daemon(make_program(tmp_path, READY), [str(pid_file)]),
    ):
        raise KeyboardInterrupt

    assert not is_alive(pid_file)


def test_a_daemon_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    program = make_program(tmp_path, "import sys\nsys.exit('no such model')")

    with (
        pytest.raises(EngineFailed, match=r"ended with code 1; its last words:\nno such model"),
        own_daemon(program, []),
    ):
        pytest.fail("it is not ready")


def test_a_daemon_that_dies_on_the_way_is_quoted(tmp_path: Path, pid_file: Path) -> None:
    def use(endpoint: Endpoint) -> None:
        with pytest.raises(NotReachable):
            get_json(endpoint.api, "/die")
        get_json(endpoint.api, "/ready")

    with (
        pytest.raises(EngineFailed, match="out of memory"),
        own_daemon(make_program(tmp_path, READY), [str(pid_file)]) as endpoint,
    ):
        use(endpoint)


def test_a_program_that_is_not_installed_is_said() -> None:
    with pytest.raises(ConfigError, match="not installed"):
        find_program("no-such-program-as-this")
