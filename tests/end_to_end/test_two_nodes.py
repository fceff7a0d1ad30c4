"""A model on two nodes, launched as the README says: it answers, and outlives the loss of the other node's rank."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from sarathid.exit_codes import ExitCode
from tests.end_to_end.lost_ranks import EXACT_IN_PARTS, lose
from tests.end_to_end.running_daemon import RunningDaemon, launch, serving, wait_until, wait_until_ready
from tests.end_to_end.two_nodes import CAN_MAKE_NODES, Node, joined, set_cable, two_nodes
from tests.models.tiny import save_speaking_model

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not CAN_MAKE_NODES, reason="making network namespaces takes root, ip and tc"),
]


def tiny_flags(directory: Path) -> tuple[str, ...]:
    path = save_speaking_model(directory / "tiny", **EXACT_IN_PARTS)
    compute = ("--model", str(path), "--device", "cpu", "--threads", "1")
    return (*compute, "--slo-tbt", "off", "--kv-memory", "64MiB")


def complete(daemon: RunningDaemon) -> list[int]:
    body = {"prompt": [3, 4, 5, 6], "max_tokens": 30, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
    with daemon.http() as client:
        answer = client.post("/v1/completions", json=body)
    assert answer.status_code == 200, answer.text
    token_ids: list[int] = answer.json()["choices"][0]["token_ids"]
    return token_ids


def listening_addresses(node: Node) -> set[str]:
    """Return where anybody on a node listens."""
    listed = subprocess.run(node.command("ss", "-ltnH"), capture_output=True, text=True, check=True).stdout
    return {line.split()[3].rpartition(":")[0] for line in listed.splitlines()}


@contextmanager
def serving_on(here: Node, directory: Path, *flags: str) -> Iterator[RunningDaemon]:
    """Give a daemon of two nodes that is ready; afterwards it drains."""
    nodes = ("--nnodes", "2", "--rendezvous", here.endpoint)
    daemon = launch(directory / "run", directory / "run.log", *flags, *nodes, prefix=here.command())
    try:
        wait_until_ready(daemon)
        yield daemon
    finally:
        assert daemon.stop() == 0


@pytest.mark.parametrize("layout", [("--tp", "2"), ("--pp", "2"), ("--tp", "2", "--pp", "2")])
def test_two_nodes_say_what_one_says_before_and_behind_a_loss(tmp_path: Path, layout: tuple[str, ...]) -> None:
    flags = tiny_flags(tmp_path)
    with serving(tmp_path / "alone", *flags) as alone:
        expected = complete(alone)

    with (
        two_nodes() as (here, there),
        joined(there, here.endpoint, tmp_path / "join.log") as other,
        serving_on(here, tmp_path, *flags, *layout) as daemon,
    ):
        assert complete(daemon) == expected
        assert listening_addresses(here) == {here.address}
        assert listening_addresses(there) == {there.address}

        os.kill(psutil.Process(other.pid).children()[0].pid, signal.SIGKILL)
        wait_until(lambda: daemon.log.count("ready in") == 2, "the other node has joined again")
        assert f"was killed by SIGKILL (node {there.address})" in daemon.log
        assert complete(daemon) == expected


@pytest.mark.parametrize("victim", range(2))
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=lambda how: how.name)
def test_streams_go_on_behind_any_rank_of_two_nodes(
    tmp_path: Path, how: signal.Signals, victim: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        two_nodes() as (here, there),
        joined(there, here.endpoint, tmp_path / "join.log"),
        serving_on(here, tmp_path, *tiny_flags(tmp_path), "--budget", "64", "--pp", "2") as daemon,
    ):
        reason, noticed_s = lose(daemon, victim, how)
        with capsys.disabled():
            print(f"\nrank {victim} of two nodes, {how.name}: noticed after {noticed_s:.2f} s: {reason}")
        place = f" (node {there.address})" if victim == 1 else ""
        killed, hangs = f"rank {victim} was killed by SIGKILL{place}", f"rank {victim}{place} of tp=1 pp=2 on 2 nodes"
        assert (killed if how == signal.SIGKILL else f"{hangs}, silent") in reason


def test_a_node_whose_cable_was_cut_joins_again_when_it_is_mended(tmp_path: Path) -> None:
    log_path = tmp_path / "join.log"
    with (
        two_nodes() as (here, there),
        joined(there, here.endpoint, log_path),
        serving_on(here, tmp_path, *tiny_flags(tmp_path), "--pp", "2") as daemon,
    ):
        expected = complete(daemon)

        set_cable(there, "down")
        wait_until(lambda: "starting another one" in daemon.log, "the daemon misses the other node")
        wait_until(lambda: "joining again" in log_path.read_text(), "the other node misses the engine")

        set_cable(there, "up")
        wait_until(lambda: daemon.log.count("ready in") == 2, "the other node has joined again")
        assert complete(daemon) == expected


@pytest.mark.skipif(shutil.which("g++") is None, reason="no node has a compiler")
def test_a_node_that_lacks_the_compiler_of_the_other_is_refused(tmp_path: Path) -> None:
    without_compiler = ("PATH=/nowhere", f"XDG_CACHE_HOME={tmp_path / 'cache'}")
    with two_nodes() as (here, there), joined(there, here.endpoint, tmp_path / "join.log", *without_compiler):
        nodes = ("--tp", "2", "--nnodes", "2", "--rendezvous", here.endpoint)
        daemon = launch(tmp_path / "run", tmp_path / "run.log", *tiny_flags(tmp_path), *nodes, prefix=here.command())
        assert daemon.wait() == ExitCode.USAGE
    assert "computes in float32 by TorchLayers and rank 0 in int8 by CPULayers" in daemon.log
