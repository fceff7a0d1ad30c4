"""Which daemon is meant: flags, environment and named daemons, and one that is reached over ssh."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sarathictl.client.contexts import Context, ControlFile, read_control_file, write_control_file
from sarathictl.client.endpoint import Choice, choose_address, local_endpoint
from sarathictl.client.fleet import Fleet, Member
from sarathictl.client.ssh_bridge import RemoteDaemon, read_ssh_address
from sarathid.errors import ConfigError
from sarathid.protocol.control import GetStatus, ListRequests, RequestList
from tests.sarathictl.records import make_request_status, make_status
from tests.sarathictl.stub_daemon import StubDaemon

FILE = ControlFile(current="near", contexts={"near": Context("/run/near"), "far": Context("ssh://far", read_only=True)})


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[StubDaemon]:
    requests = RequestList(requests=(make_request_status(),))
    with StubDaemon(tmp_path, {GetStatus: lambda _: make_status(), ListRequests: lambda _: requests}) as stub:
        yield stub


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for `ssh` that runs the command on this machine, and notes it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    _write_program(
        programs / "ssh", 'echo "$*" >> "$0.log"\nwhile [ "$1" != -- ]; do shift; done\nshift 2\nexec sh -c "$*"'
    )
    _write_program(
        programs / "sarathictl", f'exec "{sys.executable}" -c "from sarathictl.cli import main; main()" "$@"'
    )
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return programs / "ssh.log"


def _write_program(path: Path, lines: str) -> None:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_flags_come_before_the_environment_and_that_before_the_file() -> None:
    environment = {"SARATHID_RUNTIME_DIR": "/run/env"}
    assert choose_address("/run/flag", "far", environment, FILE) == Choice("/run/flag", "--addr")
    assert choose_address(None, "far", environment, FILE) == Choice("ssh://far", "--context far", True, "far")
    assert choose_address(None, None, {"SARATHID_CONTEXT": "far", **environment}, FILE).addr == "ssh://far"
    assert choose_address(None, None, environment, FILE) == Choice("/run/env", "$SARATHID_RUNTIME_DIR")
    assert choose_address(None, None, {}, FILE) == Choice("/run/near", "ctl.toml near", context="near")
    assert choose_address(None, None, {}, ControlFile()) == Choice("", "default")


def test_a_context_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="no context 'moon'; known: far, near"):
        choose_address(None, "moon", {}, FILE)


def test_a_control_socket_names_its_directory() -> None:
    assert local_endpoint("unix:///run/x/control.sock").runtime_dir == Path("/run/x")
    assert local_endpoint("/run/x").control == Path("/run/x/control.sock")


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "ctl.toml"
    odd = FILE.with_context("odd", Context('/run/a "b" \\c\u00e9'))
    write_control_file(path, odd)
    assert read_control_file(path) == odd
    assert read_control_file(tmp_path / "missing.toml") == ControlFile()


@pytest.mark.parametrize(
    "text",
    ["current = 'moon'", "contexts = 3", "[contexts.'a b']\naddr='/x'", "[contexts.a]", "=", "x=1", "x=" + "[" * 5_000],
)
def test_a_file_with_a_mistake_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ctl.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"ctl\.toml"):
        read_control_file(path)


@pytest.mark.parametrize(
    ("addr", "remote"),
    [
        ("ssh://far", RemoteDaemon("far", None, None)),
        ("ssh://me@far.example:2222/run/x", RemoteDaemon("me@far.example", 2222, "/run/x")),
        ("ssh://[::1]/", RemoteDaemon("::1", None, None)),
    ],
)
def test_ssh_addresses_are_read(addr: str, remote: RemoteDaemon) -> None:
    assert read_ssh_address(addr) == remote


@pytest.mark.parametrize("addr", ["ssh://", "ssh://-oProxyCommand=x", "ssh://a b", "ssh://far:x", "ssh://far;id"])
def test_an_ssh_address_that_says_more_than_a_host_is_refused(addr: str) -> None:
    with pytest.raises(ConfigError, match="is no address"):
        read_ssh_address(addr)


def test_no_directory_is_more_than_one_word_to_the_other_shell() -> None:
    command = read_ssh_address("ssh://far/a b;c").command("control.sock")
    assert command == ["ssh", "-T", "--", "far", "sarathictl", "-A", "'/a b;c'", "_stdio", "control.sock"]


def test_a_daemon_is_reached_over_ssh(daemon: StubDaemon, ssh: Path, tmp_path: Path, sarathictl: Any) -> None:
    outcome = sarathictl("-A", f"ssh://me@far{tmp_path}", "status", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.json["pid"] == 4711
    assert f"-T -- me@far sarathictl -A {tmp_path} _stdio control.sock" in ssh.read_text()


def test_what_ssh_says_is_passed_on_when_it_fails(ssh: Path, sarathictl: Any) -> None:
    outcome = sarathictl("-A", "ssh://far/nowhere", "status")
    assert outcome.code == 3
    assert outcome.err.startswith("sarathictl: far: no daemon answers at /nowhere/control.sock")
    assert outcome.err.count("no daemon answers") == 1


def test_a_machine_without_ssh_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sarathictl: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = sarathictl("-A", "ssh://far", "status")
    assert outcome.code == 3
    assert outcome.err == "sarathictl: far: ssh can't be run: No such file or directory\n"


def test_read_only_sends_nothing_that_changes_the_daemon(daemon: StubDaemon, sarathictl: Any) -> None:
    outcome = sarathictl("--read-only", "set-budget", "512")
    assert outcome.code == 5
    assert "--read-only" in outcome.err
    assert daemon.asked == []
    assert sarathictl("--read-only", "requests").code == 0


def test_the_fleet_is_asked_at_once_and_each_answers_or_says_why_not(daemon: StubDaemon, tmp_path: Path) -> None:
    fleet = Fleet([Member("here", str(tmp_path)), Member("gone", "/nowhere"), Member("odd", "http://x")])
    here, gone, odd = fleet.ask()
    fleet.close()
    assert here.status is not None
    assert here.status.pid == 4711
    assert (gone.status, odd.status) == (None, None)
    assert "no daemon answers at /nowhere" in gone.failure
    assert "cannot reach 'http://x', since HTTP carries the API alone" in odd.failure


def test_the_fleet_holds_the_daemon_that_is_meant_once() -> None:
    here = local_endpoint("/run/here")
    assert [member.name for member in Fleet.of_file(FILE, "here", "/run/here", here).members] == ["here", "far", "near"]
    assert [member.name for member in Fleet.of_file(FILE, "here", "/run/near", here).members] == ["far", "near"]
