"""A daemon that systemd starts when somebody connects, at sockets that systemd made."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.running_daemon import STOP_TIMEOUT_S, RunningDaemon, wait_until

ACTIVATE = shutil.which("systemd-socket-activate")
SOCKETS = ("api.sock", "control.sock", "stats.sock")


@pytest.mark.skipif(ACTIVATE is None, reason="systemd-socket-activate is not installed")
def test_the_first_connection_starts_the_daemon_and_waits_for_it(tmp_path: Path) -> None:
    assert ACTIVATE is not None
    run, log_path = tmp_path / "run", tmp_path / "log"
    run.mkdir(mode=0o700)
    listen = [f"--listen={run}/{name}" for name in SOCKETS]
    environment = [
        f"--setenv={name}={value}" for name, value in os.environ.items() if name.startswith(("PYTHON", "XDG"))
    ]
    state = f"--setenv=XDG_STATE_HOME={tmp_path}/state"
    command = [sys.executable, "-m", "sarathid", "serve", "--simulate", "a100/mistral-7b-tp1", f"--runtime-dir={run}"]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [ACTIVATE, *listen, *environment, state, *command], stdout=log, stderr=log, umask=0o177
        )
    daemon = RunningDaemon(process, run, log_path)
    wait_until(lambda: all((run / name).is_socket() for name in SOCKETS), "systemd listens")
    with daemon.http() as client:
        assert client.get("/health").status_code == 200
        wait_until(lambda: client.get("/ready").status_code == 200, "the daemon is ready")
        assert client.post("/v1/completions", json={"prompt": "x", "max_tokens": 2}).status_code == 200
    with daemon.records() as records:
        assert next(records)
    assert daemon.status().pid == process.pid
    assert daemon.stop() == 0
    assert {path.name for path in run.iterdir()} == {*SOCKETS, "sarathid.lock"}, "they belong to systemd"
    assert process.wait(STOP_TIMEOUT_S) == 0
