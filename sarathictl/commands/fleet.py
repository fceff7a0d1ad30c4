"""`sarathictl fleet`: every daemon that has a name."""

from collections.abc import Sequence
from typing import Any

import msgspec
import typer

from sarathictl import units
from sarathictl.client.contexts import control_file_path, read_control_file
from sarathictl.client.fleet import Answer, Fleet
from sarathictl.commands.watch import WatchOption, watch
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.output import ExitCode, table
from sarathictl.state.daemon_status import is_healthy
from sarathictl.state.fleet import FIGURES

_HEADINGS = ("NAME", "STATE", *(figure.heading for figure in FIGURES), "MODEL")


def fleet(context: typer.Context, again: WatchOption = False, json: JsonOption = False) -> None:
    """Print how every daemon is that has a name in ctl.toml.

    Exit code 8 when one does not answer, is not ready or misses a target.
    """
    invocation = invocation_of(context, is_json=json)
    asked = Fleet.of_file(
        read_control_file(control_file_path()), invocation.daemon.name, invocation.choice.addr, invocation.endpoint
    )
    context.call_on_close(asked.close)
    answers: Sequence[Answer] = ()

    def answer() -> None:
        nonlocal answers
        answers = asked.ask(invocation.timeout_s)
        invocation.answer({"daemons": [_fields(answer) for answer in answers]}, _text(answers))

    watch(invocation, answer, is_repeated=again)
    if not all(answer.status is not None and is_healthy(answer.status) for answer in answers):
        raise typer.Exit(ExitCode.BAD_ANSWER)


def _text(answers: Sequence[Answer]) -> str:
    rows = [_cells(answer) for answer in answers if answer.status is not None]
    lines = [table(_HEADINGS, rows, {"NAME", "STATE", "MODEL"})] if rows else []
    lines += [f"{answer.name}: {units.printable(answer.failure)}" for answer in answers if answer.status is None]
    return "\n".join(lines)


def _cells(answer: Answer) -> list[str]:
    status = answer.status
    assert status is not None
    model = units.printable(status.engine.model) if status.engine else units.ABSENT
    return [answer.name, status.state, *(figure.shown(status) for figure in FIGURES), model]


def _fields(answer: Answer) -> dict[str, Any]:
    status = None if answer.status is None else msgspec.to_builtins(answer.status)
    return {"name": answer.name, "status": status, "failure": answer.failure}
