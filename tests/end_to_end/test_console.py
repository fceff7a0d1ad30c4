"""The console over a daemon that serves, in a real terminal: first picture, sizes, and the terminal as it was."""

import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.running_daemon import RunningDaemon, serving, wait_until
from tests.end_to_end.terminal import Terminal, open_terminal

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="takes tmux")

PROGRAM = Path(sys.executable).with_name("sarathictl")
COLOR = re.compile(r"\x1b\[[0-9;]*[34]8;[25];")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    directory = tmp_path_factory.mktemp("console")
    with serving(directory / "run", "--simulate", "a100/yi-34b-tp2", "--slo-tbt", "100ms") as daemon:
        yield daemon


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    with open_terminal(tmp_path) as terminal:
        yield terminal


def console_of(daemon: RunningDaemon) -> psutil.Process:
    """Return the process of the only console that watches the daemon."""
    wanted = os.fspath(daemon.runtime_dir)
    (found,) = (
        process
        for process in psutil.process_iter(["cmdline"])
        if "top" in (words := process.info["cmdline"] or ()) and wanted in words
    )
    return found


def test_the_console_shows_what_runs_at_every_size_and_leaves_the_terminal_as_it_was(
    daemon: RunningDaemon, terminal: Terminal
) -> None:
    terminal.type("stty -g > before")
    terminal.type(f"{PROGRAM} -A {daemon.runtime_dir} top; echo ended by $?")
    terminal.wait_for("LIVE")
    assert "simulated yi-34b" in terminal.screen()

    body = {"prompt": "Once", "max_tokens": 4000, "stream": True}
    with daemon.http() as client, client.stream("POST", "/v1/completions", json=body):
        terminal.wait_for("decode for")
        for width, height, words in (
            (80, 24, "REQUESTS"),
            (200, 60, "WHY"),
            (50, 14, "TBT p99"),
            (120, 36, "REQUESTS"),
        ):
            terminal.resize(width, height)
            terminal.wait_for(words)
    terminal.press("3")
    terminal.wait_for("CAUSES")
    terminal.press("q")
    terminal.wait_for("ended by 0")
    assert terminal.is_as_it_was
    assert "ITERATIONS" not in terminal.screen()
    terminal.type("stty -g | cmp - before && echo the same; rm before")
    terminal.wait_for("\nthe same")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_console_that_is_told_to_end_leaves_the_terminal_as_it_was(
    daemon: RunningDaemon, terminal: Terminal, number: signal.Signals
) -> None:
    terminal.type(f"{PROGRAM} -A {daemon.runtime_dir} top; echo ended by $?")
    terminal.wait_for("LIVE")
    console_of(daemon).send_signal(number)
    terminal.wait_for(f"ended by {128 + number}")
    assert terminal.is_as_it_was


def test_a_dumb_terminal_gets_one_picture_in_plain_text(daemon: RunningDaemon, terminal: Terminal) -> None:
    terminal.type(f"TERM=dumb {PROGRAM} -A {daemon.runtime_dir} top > picture; echo ended by $?")
    terminal.wait_for("ended by 0")
    assert "one picture follows" in terminal.screen()
    terminal.type("grep -c ITERATIONS picture; tr -d '\\33' < picture | cmp - picture && echo no escapes; rm picture")
    terminal.wait_for("\nno escapes")


def test_no_color_reaches_a_terminal_that_wants_none(daemon: RunningDaemon, terminal: Terminal) -> None:
    terminal.type(f"NO_COLOR=1 {PROGRAM} -A {daemon.runtime_dir} top")
    terminal.wait_for("LIVE")
    wait_until(lambda: "q quit" in terminal.screen(), "the line of keys")
    assert not COLOR.search(terminal.screen("-e"))
    terminal.press("t")
    terminal.press("q")
    terminal.wait_while(lambda screen: "ITERATIONS" in screen, "the console has ended")


def test_a_console_that_goes_on_reads_with_one_thread_and_ends_with_its_terminal(
    daemon: RunningDaemon, terminal: Terminal
) -> None:
    terminal.type(f"{PROGRAM} -A {daemon.runtime_dir} top")
    terminal.wait_for("LIVE")
    console = console_of(daemon)
    num_threads = console.num_threads()
    for key, words in (("3", "CAUSES"), ("1", "REQUESTS")):
        console.send_signal(signal.SIGCONT)
        terminal.press(key)
        terminal.wait_for(words)
    assert console.num_threads() == num_threads
    for number in (signal.SIGHUP, signal.SIGCONT):  # as both come where a terminal is closed
        console.send_signal(number)
    console.wait(30)


@pytest.mark.long
def test_a_terminal_that_takes_little_is_sent_little(daemon: RunningDaemon, terminal: Terminal) -> None:
    terminal.type(f"{sys.executable} -m tests.end_to_end.slow_terminal {PROGRAM} -A {daemon.runtime_dir} top")
    terminal.wait_for("SLOW LINK  ● LIVE 1 Hz")
    terminal.press("q")
    terminal.wait_while(lambda screen: "ITERATIONS" in screen, "the console has ended")


@pytest.mark.long
def test_a_daemon_that_freezes_ends_or_is_started_again_is_told_without_a_key(
    tmp_path: Path, terminal: Terminal
) -> None:
    flags = ("--simulate", "a100/yi-34b-tp2")
    with serving(tmp_path / "run", *flags) as daemon:
        terminal.type(f"{PROGRAM} -A {daemon.runtime_dir} top")
        terminal.wait_for("LIVE")
        daemon.process.send_signal(signal.SIGSTOP)
        terminal.wait_for("STALE")
        terminal.wait_for("FROZEN")
        daemon.process.send_signal(signal.SIGCONT)
        terminal.wait_for("LIVE")
    terminal.wait_for("DISCONNECTED")
    with serving(tmp_path / "run", *flags):
        terminal.wait_for("LIVE")
    terminal.press("q")
