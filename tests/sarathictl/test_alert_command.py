"""The command for alerts: what it gets, and how often it is run."""

import json
import os
from pathlib import Path

import pytest

from sarathictl.client.alert_command import AT_MOST_EVERY_S, AlertCommand
from sarathid.clock import VirtualClock
from sarathid.errors import ConfigError


def test_the_command_gets_the_event_as_json_and_no_shell_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a file; rm -rf"
    command = AlertCommand(f"tee '{path}'")
    assert command.tell({"words": "it's $HOME"})
    command.close()
    assert json.loads(path.read_text()) == {"words": "it's $HOME"}


def test_it_is_not_run_again_at_once(tmp_path: Path) -> None:
    clock = VirtualClock(100.0)
    command = AlertCommand(f"tee -a {tmp_path / 'told'}", clock)
    told = []
    for wait_s in (0.0, AT_MOST_EVERY_S - 1.0, 2.0):
        clock.advance(wait_s)
        told.append(command.tell({}))
        command.close()
    assert told == [True, False, True]
    assert (tmp_path / "told").read_text() == "{}\n{}\n"
    assert command.num_left_out == 1


def test_one_at_a_time(tmp_path: Path) -> None:
    clock = VirtualClock(100.0)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = AlertCommand(f"cp /dev/stdin {fifo}", clock)
    assert command.tell({"number": 1})
    clock.advance(AT_MOST_EVERY_S + 1.0)
    assert not command.tell({"number": 2})
    assert json.loads(fifo.read_text()) == {"number": 1}
    command.close()
    assert command.tell({"number": 3})
    assert json.loads(fifo.read_text()) == {"number": 3}
    command.close()


def test_a_command_that_fails_is_told_of_once(tmp_path: Path) -> None:
    command = AlertCommand(f"cat > {tmp_path / 'told'}")
    command.tell({})
    command.close()
    assert command.take_failure() == "cat ended with 1; no shell reads the command"
    assert command.take_failure() is None


@pytest.mark.parametrize("command", ["", "no-such-program-here", "'"])
def test_a_command_that_cannot_be_run_is_refused_at_once(command: str) -> None:
    with pytest.raises(ConfigError):
        AlertCommand(command)
