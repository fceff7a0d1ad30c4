"""What befalls a daemon: a full disk, no descriptors, a clock that jumps. One thing fails, and serving goes on."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from safetensors.torch import load_file, save_file

from sarathid.commands.serve import LEAST_DESCRIPTORS
from sarathid.paths import API_SOCKET, CONTROL_SOCKET, STATS_SOCKET
from sarathid.protocol.control import RecorderStatus, Retuned, SetBudget
from sarathid.protocol.stats import IterationStats, RequestStats
from tests.end_to_end.running_daemon import RunningDaemon, first_of, launch, serving, wait_until
from tests.models.tiny import save_speaking_model

SIMULATED = ("--simulate", "a100/mistral-7b-tp1")
DISK_BYTES = 64 << 10
NUM_DESCRIPTORS = LEAST_DESCRIPTORS
BAD_WORD = 50
FULL_DEV_SHM = (
    *("unshare", "--mount", "sh", "-c"),
    'mount -t tmpfs -o size=4k tmpfs /dev/shm && head -c 4096 /dev/zero >/dev/shm/full && exec "$@"',
    "sh",
)
MISCHIEF = Path(__file__).with_name("mischief")
JUMPING = Path(__file__).with_name("jumping_clock")


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
    with serving(tmp_path / "run", *SIMULATED, prefix=limited_to(NUM_DESCRIPTORS)) as daemon:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2 * NUM_DESCRIPTORS)]
            daemon.process.send_signal(signal.SIGSTOP)  # who connects meanwhile is there all at once
            for client in clients:
                client.connect(os.fspath(tmp_path / "run" / API_SOCKET))
            daemon.process.send_signal(signal.SIGCONT)
            assert clients[-1].recv(4096).startswith(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n")
            os.kill(daemon.engine_pid(), signal.SIGKILL)
            wait_until(lambda: daemon.status().num_engine_restarts == 1, "has another engine")
            wait_until(lambda: daemon.log.count("ready in") == 2, "is ready again")
        wait_until(lambda: is_served(daemon), "serves again")
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log
        assert daemon.log.count("connections stand, and no more may") == 1


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_too_few_descriptors_to_serve_at_all_are_refused_in_one_line(tmp_path: Path, check: tuple[str, ...]) -> None:
    daemon = launch(tmp_path / "run", tmp_path / "log", *SIMULATED, *check, prefix=limited_to(NUM_DESCRIPTORS - 1))
    assert daemon.wait() == 2
    told = f"only {NUM_DESCRIPTORS - 1} open files are allowed, and a daemon needs {NUM_DESCRIPTORS}"
    assert told in daemon.log.splitlines()[-1]
    assert "Traceback" not in daemon.log


def limited_to(num_descriptors: int) -> tuple[str, ...]:
    return ("prlimit", f"--nofile={num_descriptors}:{num_descriptors}")


def test_peers_of_zeromq_without_number_leave_descriptors_for_the_rest(tmp_path: Path) -> None:
    with serving(tmp_path / "run", *SIMULATED, prefix=limited_to(NUM_DESCRIPTORS)) as daemon:
        for name in (STATS_SOCKET, CONTROL_SOCKET):
            with contextlib.ExitStack() as stack:
                for _ in range(NUM_DESCRIPTORS + 100):
                    peer = stack.enter_context(socket.socket(socket.AF_UNIX))
                    peer.connect(os.fspath(tmp_path / "run" / name))
                assert is_served(daemon)
                wait_until(lambda: num_descriptors(daemon) < NUM_DESCRIPTORS // 4, "turns most away")
            assert daemon.status().num_running == 0
        assert daemon.stop() == 0


def num_descriptors(daemon: RunningDaemon) -> int:
    found: int = psutil.Process(daemon.process.pid).num_fds()
    return found


def test_a_request_that_fills_the_kv_cache_alone_is_served_and_so_are_those_beside_it(tmp_path: Path) -> None:
    """A context fills the KV cache: who runs beside the giant is preempted, or waits."""
    with serving(tmp_path / "run", *SIMULATED, "--max-model-len", "1024", "--kv-memory", "128MiB") as daemon:
        lengths = [(960, 64), *[(64, 64)] * 6]

        def complete(length: tuple[int, int]) -> int:
            num_prompt_tokens, num_output_tokens = length
            body = {"prompt": [num_output_tokens] * num_prompt_tokens, "max_tokens": num_output_tokens}
            with daemon.http() as client:
                reply = client.post("/v1/completions", json={**body, "ignore_eos": True})
            assert reply.status_code == 200, reply.text
            tokens: int = reply.json()["usage"]["completion_tokens"]
            return tokens

        with ThreadPoolExecutor(len(lengths)) as pool:
            found = list(pool.map(complete, lengths))
        status = daemon.status()
        assert found == [length[1] for length in lengths]
        assert status.engine is not None
        assert (status.num_blocks_free, status.engine.num_blocks) == (64, 64)


def test_a_wall_clock_that_jumps_ends_no_request_and_moves_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = (os.fspath(JUMPING), os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("CLOCK_JUMPS", "1")
    with serving(tmp_path / "run", *SIMULATED) as daemon, daemon.records() as records, daemon.http() as client:
        body = {"prompt": "x", "max_tokens": 200, "ignore_eos": True, "timeout": 120, "stream": True}
        with client.stream("POST", "/v1/completions", json=body) as reply:
            lines = reply.iter_lines()
            for number in (signal.SIGUSR1, signal.SIGUSR2):  # a day back, then two days on
                next(lines)
                for pid in (daemon.process.pid, daemon.engine_pid()):
                    os.kill(pid, number)
            events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
        stats = first_of(records, RequestStats, lambda _: True)

        assert events[-1]["choices"][0]["finish_reason"] == "length"
        assert stats.num_output_tokens == 200
        assert 0.0 < stats.finished_s - stats.arrival_s < 120.0
        assert daemon.ask(SetBudget(budget=64), Retuned).new.token_budget == 64
        assert daemon.status().uptime_s < 300.0
        assert daemon.log.count("the clock jumped") == 4
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log


def test_garbage_that_is_collected_all_the_time_costs_time_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((os.fspath(MISCHIEF), os.environ.get("PYTHONPATH", ""))))
    monkeypatch.setenv("COLLECTS_AFTER", "20")
    with serving(tmp_path / "run", *SIMULATED) as daemon, daemon.records() as records:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(is_served, [daemon] * 64))
        iteration = first_of(records, IterationStats, lambda stats: stats.gc_s > 0.0)
        assert iteration.gc_s < iteration.end_s - iteration.start_s
        assert daemon.status().num_engine_restarts == 0
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log


def test_a_terminal_that_goes_away_takes_no_daemon_along(tmp_path: Path) -> None:
    terminal, theirs = os.openpty()
    program = os.fspath(Path(sys.executable).with_name("sarathid"))
    runtime_dir = tmp_path / "run"
    process = subprocess.Popen(
        (program, "serve", "--runtime-dir", os.fspath(runtime_dir), *SIMULATED),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=os.environ | {"XDG_STATE_HOME": os.fspath(tmp_path / "state")},
    )
    os.close(theirs)
    try:
        shown = b""
        while b"ready in" not in shown:
            shown += os.read(terminal, 4096)
        os.close(terminal)
        process.send_signal(signal.SIGHUP)  # as the kernel does to whom it controlled
        daemon = RunningDaemon(process, runtime_dir, tmp_path / "log")
        assert is_served(daemon)
        assert daemon.ask(SetBudget(budget=64), Retuned).new.token_budget == 64
        os.kill(daemon.engine_pid(), signal.SIGKILL)
        wait_until(lambda: daemon.status().num_engine_restarts == 1 and is_served(daemon), "has another engine")
        assert daemon.stop() == 0
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def model_with_a_bad_word(tmp_path: Path) -> Path:
    """A tiny model whose logits overflow behind one word, and behind no other.

    That word alone has a number in the first place of the residual stream, to which no layer adds, and by which one
    row of the output head multiplies with as much as a float can be.
    """
    directory = save_speaking_model(tmp_path / "tiny")
    weights = load_file(directory / "model.safetensors")
    weights["model.embed_tokens.weight"][:, 0] = 0.0
    weights["model.embed_tokens.weight"][BAD_WORD] = 0.0
    weights["model.embed_tokens.weight"][BAD_WORD, 0] = 1e4
    for name, weight in weights.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weight[0] = 0.0
    weights["lm_head.weight"][BAD_WORD + 1, 0] = 3e38
    save_file(weights, directory / "model.safetensors")
    return directory


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a disk")
def test_logits_that_are_no_numbers_end_their_request_alone_and_ranks_need_no_room_in_dev_shm(
    tmp_path: Path, model_with_a_bad_word: Path
) -> None:
    flags = ("--model", os.fspath(model_with_a_bad_word), "--dtype", "float32", "--tp", "2", "--device", "cpu")
    with serving(tmp_path / "run", *flags, prefix=FULL_DEV_SHM) as daemon:

        def complete(word: int) -> httpx.Response:
            body = {"prompt": [3, 4, word], "max_tokens": 40, "temperature": 0, "ignore_eos": True}
            with daemon.http() as client:
                return client.post("/v1/completions", json={**body, "logit_bias": {str(BAD_WORD): -100}})

        with ThreadPoolExecutor(5) as pool:
            good, bad = pool.map(complete, [7] * 4), pool.submit(complete, BAD_WORD)
            assert [reply.json()["usage"]["completion_tokens"] for reply in good] == [40] * 4
        assert bad.result().status_code == 500
        assert bad.result().json()["error"]["type"] == "server_error"
        assert daemon.status().num_engine_restarts == 0
