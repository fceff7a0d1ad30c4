"""`sarathictl replay`: a recording in the same console, read-only, beside what other settings would have given."""

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
import typer

from sarathictl.client.contexts import Theme, control_file_path, read_control_file
from sarathictl.client.tape_source import TapePair, TapeSource
from sarathictl.client.what_if import WhatIf
from sarathictl.invocation import Invocation, JsonOption, invocation_of
from sarathictl.output import Form
from sarathictl.state.engine_log import EngineLog
from sarathictl.state.forecast import plan_lines
from sarathictl.state.opening import Opening
from sarathictl.state.retuning import read_targets
from sarathictl.state.twin import Twin
from sarathictl.watching import terminal_outflow
from sarathid.clock import MonotonicClock
from sarathid.errors import ControlRefused
from sarathid.protocol.control import ControlRequest, ErrorCode
from sarathid.protocol.plan import Planned
from sarathid.tape.tape import Tape

if TYPE_CHECKING:
    from sarathictl.tui.app import ConsoleApp

Reply = TypeVar("Reply")


def replay(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `record` or the key r saved.")],
    budget: Annotated[
        str | None, typer.Option(metavar="N|auto|profiled", help="Beside it, what this token budget would have given.")
    ] = None,
    slo: Annotated[
        str | None, typer.Option(metavar="TARGETS", help="What a budget that follows these would: tbt=80ms,ttft=2s.")
    ] = None,
    policy: Annotated[str | None, typer.Option(metavar="NAME", help="What this policy would have given.")] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="The devices' cost profile [the one that the recording names].")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Play a recording as it happened, or beside what would have been.

    Space plays and stops, the arrow keys step by an iteration (with shift by a second), n and N go to stalls, < and >
    change the speed, a sets the ends of a loop. With other settings, the last 15 minutes of its requests are simulated
    under them, and both tapes stand one above the other (key 8); without a terminal, or as JSON, the figures alone:
    first how well a simulation tells what did happen.
    """
    invocation = invocation_of(context, is_json=json)
    opening = Opening(theme=read_control_file(control_file_path()).theme or Theme.DARK)
    what_if = WhatIf(
        budget=budget, policy=policy, slo=None if slo is None else read_targets(slo.split(",")), profile=profile
    )
    if not _is_watched(invocation):
        tell(invocation, what_if.ask(file))
    elif what_if.changes_nothing:
        play(invocation, file, opening)
    else:
        compare(invocation, file, what_if, opening)


def tell(invocation: Invocation, planned: Planned) -> None:
    """Print how well a simulation tells what did happen, and what it says of other settings."""
    invocation.answer(msgspec.to_builtins(planned), "\n".join(plan_lines(planned)))


def play(invocation: Invocation, path: Path, opening: Opening) -> None:
    """Run the console over a recording; raises `ConfigError` when there is none in the file."""
    make_replay(invocation, Tape.read(path), path.name, opening).run()


def compare(invocation: Invocation, path: Path, what_if: WhatIf, opening: Opening) -> None:
    """Run the console over a recording and what would have been under other settings."""
    tape = Tape.read(path)
    invocation.say("simulating what other settings would have given …")
    with tempfile.TemporaryDirectory(prefix="sarathictl-") as name:
        other = Path(name) / "twin.srec"
        planned = what_if.ask(path, other)
        twin = Tape.read(other)
    make_comparison(invocation, tape, path.name, twin, planned, opening).run()
    tell(invocation, planned)


def make_comparison(
    invocation: Invocation, tape: Tape, name: str, other: Tape, planned: Planned, opening: Opening
) -> "ConsoleApp":
    """Return the console over a recording and its twin, which begin at the moments that their wall clocks say."""
    log = EngineLog(other.header.columns)
    twin = Twin(log=log, behind_s=other.header.wall_offset_s - tape.header.wall_offset_s, planned=planned)
    return make_replay(invocation, tape, name, opening, twin, TapeSource(log.open(other.frames), "what if", log.survey))


def make_replay(
    invocation: Invocation,
    tape: Tape,
    name: str,
    opening: Opening,
    twin: Twin | None = None,
    twin_source: TapeSource | None = None,
) -> "ConsoleApp":
    """Return the console over a recording."""
    from sarathictl.tui.app import ConsoleApp  # deferred: Textual takes 0.4 CPU seconds

    if not invocation.has_color:
        os.environ["NO_COLOR"] = "1"  # Textual reads it when an app is built
    log = EngineLog(tape.header.columns)
    source = TapeSource(log.open(tape.frames), name, log.survey)
    return ConsoleApp(
        source if twin_source is None else TapePair(source, twin_source),
        _refuse,
        _refuse,
        clock=MonotonicClock(),
        wall_offset_s=tape.header.wall_offset_s,
        has_color=invocation.has_color,
        is_ascii=invocation.is_ascii,
        recording=log,
        twin=twin,
        opening=opening,
        outflow=terminal_outflow(),
    )


def _is_watched(invocation: Invocation) -> bool:
    """Whether there is a terminal to draw on, and nothing else is wanted."""
    return invocation.form in (Form.TABLE, Form.WIDE) and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _refuse(op: ControlRequest, reply_type: type[Reply]) -> Reply:
    del op, reply_type
    raise ControlRefused(ErrorCode.NOT_PERMITTED, "a recording can't be asked or changed")
