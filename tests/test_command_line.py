"""Mistakes on a command line are told in one line, by both programs."""

import sys
from typing import Any

import pytest
import typer

import sarathictl.cli
import sarathid.cli
from sarathid.command_line import run
from sarathid.errors import ConfigError, SarathiError

MAINS = {"sarathid": sarathid.cli.main, "sarathictl": sarathictl.cli.main}


def call(monkeypatch: pytest.MonkeyPatch, words: str) -> Any:
    """Run a program in this process and return the code that it ends with."""
    arguments = words.split()
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        MAINS[arguments[0]]()
    return ended.value.code


@pytest.mark.parametrize(
    ("words", "wrong", "where"),
    [
        ("sarathid simulate --no-such-option", "No such option: --no-such-option", "sarathid simulate --help"),
        ("sarathid simulate --buget 512", "--budget", "sarathid simulate --help"),
        ("sarathid capacity", "Missing option '--profile'", "sarathid capacity --help"),
        ("sarathid capacity --seed many", "Invalid value for '--seed'", "sarathid capacity --help"),
        ("sarathid no-such-command", "No such command 'no-such-command'", "sarathid --help"),
        ("sarathictl status --no-such-option", "No such option: --no-such-option", "sarathictl status --help"),
        ("sarathictl status one two", "one two", "sarathictl status --help"),
        ("sarathictl bench interference --streams 0", "Invalid value for '--streams'", "bench interference --help"),
        ("sarathictl --timeout soon status", "Invalid value for '--timeout'", "sarathictl --help"),
        ("sarathictl --addr", "'--addr' requires an argument", "sarathictl: "),
    ],
)
def test_a_mistake_is_one_line_that_says_what_and_where(
    words: str, wrong: str, where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, words) == 2

    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith(f"{words.split()[0]}: ")
    assert wrong in line
    assert where in line
    assert out == ""


@pytest.mark.parametrize("words", ["sarathid", "sarathictl", "sarathictl bench"])
def test_a_missing_command_is_answered_with_help(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, words) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"Usage: {words} [OPTIONS] COMMAND")
    assert "Commands:" in err
    assert out == ""


def test_with_json_a_mistake_is_an_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "sarathictl --json status --no-such-option") == 2
    out, err = capsys.readouterr()
    assert '"kind": "usage"' in out
    assert err == ""


@pytest.mark.parametrize(
    ("raised", "message"), [(typer.BadParameter("one\n\ttwo"), "Invalid value: one two"), (typer.Abort(), "aborted")]
)
def test_what_a_command_raises_is_one_of_our_errors(
    raised: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise raised

    monkeypatch.setattr(sys, "argv", ["program"])
    with pytest.raises(SarathiError) as caught:
        run(app, "program")
    assert str(caught.value).partition(";")[0] == message
    assert isinstance(caught.value, ConfigError) == isinstance(raised, typer.BadParameter)


def test_the_code_of_an_exit_is_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()

    @app.command()
    def leave() -> None:
        raise typer.Exit(8)

    monkeypatch.setattr(sys, "argv", ["program"])
    with pytest.raises(SystemExit) as ended:
        run(app, "program")
    assert ended.value.code == 8
