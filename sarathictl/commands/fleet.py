"""`sarathictl fleet`: every daemon that has a name."""

from collections.abc import Iterator, Sequence
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
from sarathictl.state.retuning import targets_in_words
from sarathid.protocol.control import Status

_HEADINGS = ("NAME", "STATE", *(figure.heading for figure in FIGURES), "MODEL")
_WIDE_HEADINGS = ("POLICY", "TARGETS", "DEVICE", "LAYOUT", "UP", "RESTARTS", "VERSION")
_RIGHT_ALIGNED = {*(figure.heading for figure in FIGURES), "UP", "RESTARTS"}


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
        invocation.answer(
            {"daemons": [_fields(answer) for answer in answers]}, _text(answers, is_wide=invocation.is_wide)
        )

    watch(invocation, answer, is_repeated=again)
    if not all(answer.status is not None and is_healthy(answer.status) for answer in answers):
        raise typer.Exit(ExitCode.BAD_ANSWER)


def _text(answers: Sequence[Answer], *, is_wide: bool) -> str:
    headings = (*_HEADINGS, *(_WIDE_HEADINGS if is_wide else ()))
    rows = [_cells(answer.name, answer.status, is_wide) for answer in answers if answer.status is not None]
    lines = [table(headings, rows, {*headings} - _RIGHT_ALIGNED)] if rows else []
    lines += [f"{answer.name}: {units.printable(answer.failure)}" for answer in answers if answer.status is None]
    return "\n".join(lines)


def _cells(name: str, status: Status, is_wide: bool) -> list[str]:
    model = units.printable(status.engine.model) if status.engine else units.ABSENT
    cells = [name, status.state, *(figure.shown(status) for figure in FIGURES), model]
    return [*cells, *_wide_cells(status)] if is_wide else cells


def _wide_cells(status: Status) -> Iterator[str]:
    settings, engine = status.settings, status.engine
    yield settings.policy if settings else units.ABSENT
    yield targets_in_words(settings.slo) if settings else units.ABSENT
    yield units.printable(engine.device) if engine else units.ABSENT
    yield units.printable(engine.layout) if engine else units.ABSENT
    yield units.duration(status.uptime_s)
    yield str(status.num_engine_restarts)
    yield units.printable(status.version)


def _fields(answer: Answer) -> dict[str, Any]:
    status = None if answer.status is None else msgspec.to_builtins(answer.status)
    return {"name": answer.name, "status": status, "failure": answer.failure}
