"""What a machine does to a daemon: its disk fills up, its descriptors run out. One thing fails, and serving goes on."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sarathid.paths import API_SOCKET
from sarathid.protocol.control import RecorderStatus, Retuned, SetBudget
from tests.end_to_end.running_daemon import RunningDaemon, launch, serving, wait_until, wait_until_ready

SIMULATED = ("--simulate", "a100/mistral-7b-tp1")
DISK_BYTES = 64 << 10
NUM_DESCRIPTORS = 512


def is_served(daemon: RunningDaemon) -> bool:
    with daemon.http() as client:
        return client.post("/v1/completions", json={"prompt": "x", "max_tokens": 4}).status_code == 200


def recorder(daemon: RunningDaemon) -> RecorderStatus:
    status = daemon.status().recorder
    assert status is not None
    return status


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The directory in which daemons keep their state, on a disk of its own."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", state], check=True)
    yield state
    subprocess.run(["umount", "--lazy", state], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a disk")
def test_a_full_disk_stops_the_flight_recorder_and_nothing_else(tmp_path: Path, small_disk: Path) -> None:
    with serving(tmp_path / "run", *SIMULATED) as daemon:
        assert is_served(daemon)
        wait_until(lambda: recorder(daemon).num_bytes > 0, "records")
        with contextlib.suppress(OSError), (small_disk / "somebody-elses").open("wb", buffering=0) as file:
            while file.write(b"\0" * 512):
                pass
        wait_until(lambda: is_served(daemon) and not recorder(daemon).is_recording, "stops recording")

        daemon.ask(SetBudget(budget=64), Retuned)
        assert is_served(daemon)
        assert "No space left on device" in recorder(daemon).message
        assert daemon.log.count("No space left on device") <= 3, "it is told once by each who would write"
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log


def test_clients_without_number_leave_descriptors_for_operators_and_are_served_when_there_is_room(
    tmp_path: Path,
) -> None:
    limit = ("prlimit", f"--nofile={NUM_DESCRIPTORS}:{NUM_DESCRIPTORS}")
    daemon = launch(tmp_path / "run", tmp_path / "log", *SIMULATED, prefix=limit)
    try:
        wait_until_ready(daemon)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(NUM_DESCRIPTORS)]
            for client in clients:
                client.connect(os.fspath(tmp_path / "run" / API_SOCKET))
            assert clients[-1].recv(4096).startswith(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n")
            assert daemon.status().num_running == 0
        wait_until(lambda: is_served(daemon), "serves again")
        assert daemon.stop() == 0
    finally:
        daemon.process.kill()
        daemon.process.wait()
