"""`sarathictl replay`: a recording in the same console, read-only, with a transport bar."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sarathictl.client.tape_source import TapeSource
from sarathictl.invocation import Invocation, invocation_of
from sarathictl.state.engine_log import EngineLog
from sarathid.clock import MonotonicClock
from sarathid.errors import ControlRefused
from sarathid.protocol.control import ControlRequest, ErrorCode
from sarathid.tape.tape import Tape

if TYPE_CHECKING:
    from sarathictl.tui.app import ConsoleApp

Reply = TypeVar("Reply")


def replay(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `record` or the key r saved.")],
) -> None:
    """Play a recording as it happened.

    Space plays and stops, the arrow keys step by an iteration (with shift by a second), n and N go to stalls, < and >
    change the speed, a sets the ends of a loop.
    """
    play(invocation_of(context), file)


def play(invocation: Invocation, path: Path) -> None:
    """Run the console over a recording; raises `ConfigError` when there is none in the file."""
    make_replay(invocation, Tape.read(path), path.name).run()


def make_replay(invocation: Invocation, tape: Tape, name: str) -> "ConsoleApp":
    """Return the console over a recording."""
    from sarathictl.tui.app import ConsoleApp  # deferred: Textual takes 0.4 CPU seconds

    if not invocation.has_color:
        os.environ["NO_COLOR"] = "1"  # Textual reads it when an app is built
    log = EngineLog(tape.header.columns)
    return ConsoleApp(
        TapeSource(tape, name, log.load),
        _refuse,
        _refuse,
        clock=MonotonicClock(),
        wall_offset_s=tape.header.wall_offset_s,
        has_color=invocation.has_color,
        is_ascii=invocation.is_ascii,
        recording=log,
    )


def _refuse(op: ControlRequest, reply_type: type[Reply]) -> Reply:
    del op, reply_type
    raise ControlRefused(ErrorCode.NOT_PERMITTED, "a recording can't be asked or changed")
