"""`sarathictl doctor`: what is wrong, and what to do about it."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import typer

from sarathictl import units
from sarathictl.commands.snapshot import snapshot_now, view_of
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.output import ExitCode
from sarathictl.state.diagnosis import Finding, diagnose
from sarathictl.state.facts import LABEL_WIDTH, lay_out
from sarathid.protocol.control import Status

_MARK_WIDTH = 2
_PIPE_WIDTH = 120


def doctor(context: typer.Context, json: JsonOption = False) -> None:
    """Say what is wrong with the daemon, and what to do about it.

    Exit code 8 when a check found something.
    """
    invocation = invocation_of(context, is_json=json)
    snapshot = snapshot_now(invocation)
    findings = diagnose(snapshot.status, view_of(snapshot))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPE_WIDTH
    invocation.answer(
        {"findings": [{**asdict(finding), "is_good": finding.is_good} for finding in findings]},
        "\n".join(_report(snapshot.status, findings, width)),
    )
    if not all(finding.is_good for finding in findings):
        raise typer.Exit(ExitCode.BAD_ANSWER)


def _report(status: Status, findings: Sequence[Finding], width: int) -> Iterator[str]:
    yield _summary(status, findings)
    yield ""
    for finding in findings:
        mark = "✔" if finding.is_good else "✘"
        yield from _lines(mark, finding.name, finding.words, width)
        if finding.hint:
            yield from _lines(" ", "", f"→ {finding.hint}", width)


def _summary(status: Status, findings: Sequence[Finding]) -> str:
    what = "A daemon" if status.engine is None else units.printable(status.engine.model)
    num_bad = sum(not finding.is_good for finding in findings)
    if not num_bad:
        return f"{what}: all {len(findings)} checks are fine."
    return f"{what}: {num_bad} of {len(findings)} checks found something to be done."


def _lines(mark: str, name: str, words: str, width: int) -> Iterator[str]:
    for number, (label, line) in enumerate(lay_out([(name, words)], width - _MARK_WIDTH)):
        yield f"{' ' if number else mark} {label:<{LABEL_WIDTH}}{line}"
