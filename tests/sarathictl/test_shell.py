"""What a shell gets from this program: completion, its manual, and flags of every day."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sarathictl.program import COMMANDS
from sarathid.protocol.control import ListRequests, RequestList
from tests.sarathictl.records import make_request_status
from tests.sarathictl.stub_daemon import StubDaemon

PROGRAM = Path(sys.executable).with_name("sarathictl")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[StubDaemon]:
    held = RequestList(requests=(make_request_status(17), make_request_status(18)))
    with StubDaemon(tmp_path, {ListRequests: lambda _: held}) as stub:
        yield stub


def complete(sarathictl: Any, monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """Return what bash is given for the last word."""
    monkeypatch.setenv("_SARATHICTL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(("sarathictl", *words)))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    candidates: list[str] = sarathictl().out.split()
    return candidates


def test_commands_options_and_values_are_completed(sarathictl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete(sarathictl, monkeypatch, "set-") == ["set-budget", "set-policy", "set-slo"]
    assert complete(sarathictl, monkeypatch, "status", "--wa") == ["--wait", "--watch"]
    assert complete(sarathictl, monkeypatch, "get", "t") == ["tbt", "ttft"]


def test_names_of_daemons_and_ids_of_requests_are_completed(
    daemon: StubDaemon, sarathictl: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SARATHID_CONFIG", str(tmp_path / "ctl.toml"))
    (tmp_path / "ctl.toml").write_text('contexts.prod-1.addr = "/nowhere"\ncontexts.test.addr = "/tmp"\n')
    assert complete(sarathictl, monkeypatch, "-c", "pr") == ["prod-1"]
    assert complete(sarathictl, monkeypatch, "context", "use", "") == ["prod-1", "test"]
    assert complete(sarathictl, monkeypatch, "why", "1") == ["17", "18"]
    assert complete(sarathictl, monkeypatch, "-c", "prod-1", "cancel", "") == []


def test_bash_completes_with_the_script_that_is_printed(tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_bytes(subprocess.run([PROGRAM, "completion", "bash"], capture_output=True, check=True).stdout)
    typed = f"source {script}; COMP_WORDS=(sarathictl doc); COMP_CWORD=1; _sarathictl_completion {PROGRAM}"
    done = subprocess.run(["bash", "-c", f'{typed}; echo "${{COMPREPLY[@]}}"'], capture_output=True, text=True)
    assert done.stdout == "doctor\n"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_scripts(sarathictl: Any, shell: str) -> None:
    outcome = sarathictl("completion", shell)
    assert outcome.code == 0
    assert f"_SARATHICTL_COMPLETE=complete_{shell}" in outcome.out


def test_the_manual_tells_of_every_command_and_exit_code(sarathictl: Any) -> None:
    page = sarathictl("man").out
    assert page.startswith('.TH "SARATHICTL" 1')
    for command in COMMANDS:
        assert f'.SS "{command}'.replace("-", r"\-") in page
    assert ".SH EXIT STATUS" in page


def test_one_command_has_a_page_of_its_own(sarathictl: Any) -> None:
    assert ".B sarathictl selftest soak" in sarathictl("man", "selftest", "soak").out
    assert sarathictl("man", "nonsense").code == 2


def test_top_gets_its_flags_of_every_day_before_those_that_are_typed(
    sarathictl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SARATHICTL_TOP", "--once --size large")
    assert "'large' is not a size" in sarathictl("top").err
    assert "'tiny' is not a size" in sarathictl("top", "--size", "tiny").err
