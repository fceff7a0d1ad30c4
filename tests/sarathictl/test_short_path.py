"""The calls that go without Typer: they are understood as Typer would, and load little."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from sarathictl.call import GlobalOptions, Invocation
from sarathictl.client.endpoint import local_endpoint
from sarathictl.commands import status
from sarathictl.program import app
from sarathictl.short_path import read_short_call, read_view
from sarathictl.state.opening import View
from sarathid.protocol.control import GetStatus
from tests.sarathictl.records import make_status
from tests.sarathictl.stub_daemon import StubDaemon

CALLS = [
    "status",
    "status --json",
    "-A /run/x status",
    "--addr unix:///run/x --json status",
    "-q -y --ascii --no-color --read-only status --json",
    "-c here status",
    "--context look status",
]
LONG_CALLS = [
    "",
    "--help",
    "status --help",
    "status --check",
    "-o csv status",
    "--timeout 3 status",
    "-A ssh://far status",
    "-A status",
    "--addr=/run/x status",
    "nonsense status",
    "requests",
    "top --rate 2",
]
TOO_MUCH = {"typer", "click", "textual", "rich", "asyncio", "pydantic"}


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SARATHID_CONFIG", str(tmp_path / "ctl.toml"))
    contexts = (
        'contexts.here.addr = "/run/here"\ncontexts.look = { addr = "/run/look", read_only = true, color = "red" }\n'
    )
    (tmp_path / "ctl.toml").write_text(contexts)


@pytest.mark.parametrize(
    ("words", "view"),
    [
        ("", View.LIVE),
        ("--view stalls", View.STALLS),
        ("--view nonsense", None),
        ("--view", None),
        ("--view live --rate 2", None),
    ],
)
def test_the_screen_that_top_comes_up_with_is_understood_alone(words: str, view: View | None) -> None:
    assert read_view(words.split()) is view


@pytest.mark.parametrize(("locale", "is_ascii"), [("C", True), ("POSIX", True), ("C.UTF-8", False), ("", False)])
def test_the_c_locale_has_ascii_alone(monkeypatch: pytest.MonkeyPatch, locale: str, is_ascii: bool) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    assert (
        GlobalOptions().invocation(GlobalOptions(addr="/run/x").choose(), local_endpoint("/run/x")).is_ascii is is_ascii
    )


@pytest.mark.parametrize("call", CALLS)
def test_a_short_call_is_understood_as_the_whole_command_line_would(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    seen: list[Invocation] = []
    monkeypatch.setattr(status, "print_status", seen.append)
    app(call.split(), standalone_mode=False)
    short = read_short_call(call.split())
    assert isinstance(short, partial)
    assert [*short.args] == seen


@pytest.mark.parametrize("call", LONG_CALLS)
def test_other_calls_are_left_to_the_whole_command_line(call: str) -> None:
    assert read_short_call(call.split()) is None


def test_a_status_loads_no_toolkit(tmp_path: Path) -> None:
    arguments = ["sarathictl", "-A", str(tmp_path), "status", "--json"]
    source = (
        f"import sys\nsys.argv = {arguments!r}\nfrom sarathictl.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code\n"
        "print(*sys.modules)"
    )
    with StubDaemon(tmp_path, {GetStatus: lambda _: make_status()}):
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    answer, modules = done.stdout.splitlines()
    assert answer.startswith('{"schema_version": 1')
    assert not {name.partition(".")[0] for name in modules.split()} & TOO_MUCH
