"""The self-tests themselves, shortened, against a daemon on simulated devices with a KV cache of two contexts."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.running_daemon import RunningDaemon, serving

EITHER = frozenset({0, 8})  # well, or not: what depends on how busy the machine is
SMALL = ("--simulate", "a100/mistral-7b-tp1", "--max-model-len", "1024", "--kv-memory", "256MiB")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    with serving(tmp_path_factory.mktemp("selftest") / "run", *SMALL) as daemon:
        yield daemon


def selftest(daemon: RunningDaemon, *arguments: str, codes: frozenset[int] = frozenset({0})) -> dict[str, Any]:
    """Return the checks by name; the run must end with one of some codes, well if none is named."""
    program = os.fspath(Path(sys.executable).with_name("sarathictl"))
    done = subprocess.run(
        [program, "--addr", os.fspath(daemon.runtime_dir), "--json", "selftest", *arguments, "--yes"],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode in codes, done.stdout + done.stderr + daemon.log[-4000:]
    return {check["what"]: check for check in json.loads(done.stdout)["checks"]}


def test_a_soak_leaves_no_request_unanswered_and_no_block_behind(simulated: RunningDaemon) -> None:
    found = selftest(simulated, "soak", "--requests", "250", "--seed", "1")

    assert found["requests answered"]["found"] == "250 of 250"
    assert int(found["preemptions, changes of settings"]["found"].split(",")[0]) > 0
    assert "disconnect" in found["of these by kind"]["found"]


def test_malformed_frames_harm_nothing(simulated: RunningDaemon) -> None:
    found = selftest(simulated, "fuzz", "--frames", "4000", "--seed", "2")

    assert found["answers that are none of ours"]["is_right"]
    assert {"200", "400"} <= set(found["HTTP statuses"]["found"].replace(",", "").split(" "))


def test_engines_that_are_killed_under_load_lose_nothing(simulated: RunningDaemon) -> None:
    found = selftest(simulated, "chaos", "--rounds", "4", "--seed", "5")

    assert found["streams whole and as undisturbed"]["found"] == "64 of 64"
    assert int(found["engine restarts, changes of settings"]["found"].split(",")[0]) > 0


def test_who_is_taken_under_overload_is_served_and_who_is_not_is_told(tmp_path: Path) -> None:
    with serving(tmp_path / "run", *SMALL, "--max-queue-len", "4") as daemon:
        found = selftest(daemon, "overload", "--seconds", "3", "--learn", "1", "--seed", "3", codes=EITHER)

    num_whole, _, num_taken = found["requests that were taken and whole"]["found"].partition(" of ")
    assert num_whole == num_taken != "0"
    assert found["those that were not"]["found"] == "none"
    assert "nothing was refused" not in found["a refusal, from its first byte to the reply, P99"]["found"]


def test_nobody_is_disturbed_who_was_not_asked(simulated: RunningDaemon) -> None:
    program = os.fspath(Path(sys.executable).with_name("sarathictl"))
    done = subprocess.run(
        [program, "--addr", os.fspath(simulated.runtime_dir), "selftest", "soak"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )

    assert done.returncode == 2
    assert "--yes" in done.stderr
