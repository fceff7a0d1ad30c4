"""Nothing that comes from a socket reaches an unpickler, in the daemon or in its engine."""

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest
import zmq

from tests.end_to_end.running_daemon import RunningDaemon, serving

HOOK = Path(__file__).with_name("unpickling")
FOUND = "find_class"


class Harmful:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch harmed",)


PICKLES = [pickle.dumps(Harmful(), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which processes that are started from now on write down what they unpickle."""
    path = tmp_path / "unpickled"
    path.touch()
    monkeypatch.setenv("UNPICKLED", os.fspath(path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.fspath(HOOK), os.environ.get("PYTHONPATH", "")]))
    return path


def test_the_hook_sees_what_is_unpickled(noted: Path, tmp_path: Path) -> None:
    for load in ("pickle.loads(data)", "pickle.Unpickler(io.BytesIO(data)).load()"):
        program = f"import io, pickle\ndata = {PICKLES[-1]!r}\n{load}"
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)

    assert noted.read_text().count(FOUND) == 2
    assert (tmp_path / "harmed").exists()


def test_pickles_at_every_socket_are_bytes_like_others(noted: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "run", "--simulate", "a100/mistral-7b-tp1") as daemon:
        noted.write_text("")  # a library may unpickle a table of its own while it is loaded
        send_pickles(daemon)
        with daemon.http() as client:
            assert client.post("/v1/completions", json={"prompt": "x", "max_tokens": 3}).status_code == 200
        assert daemon.status().num_engine_restarts == 0

        assert noted.read_text() == ""


def send_pickles(daemon: RunningDaemon) -> None:
    """Put pickles wherever a peer may put bytes."""
    with daemon.http() as client, zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(f"ipc://{daemon.runtime_dir}/control.sock")
        for data in PICKLES:
            assert client.post("/v1/completions", content=data).status_code == 400
            headers = {"content-type": "application/x-python-pickle", "x-request-id": data.hex()[:100]}
            assert client.post("/v1/chat/completions", content=data, headers=headers).status_code == 400
            for frame in (data, msgpack.packb({"op": "status", "id": 1, "reason": data}), msgpack.ExtType(1, data)):
                dealer.send(frame if isinstance(frame, bytes) else msgpack.packb(frame))
                assert dealer.poll(60_000)
                dealer.recv()
            for name in ("api.sock", "control.sock", "stats.sock"):
                with socket.socket(socket.AF_UNIX) as raw:
                    raw.connect(os.fspath(daemon.runtime_dir / name))
                    raw.sendall(data)
