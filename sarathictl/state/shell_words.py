"""What is done in the console, as the commands that do the same."""

import shlex
from collections.abc import Iterator

from sarathictl import units
from sarathid.protocol.control import (
    Cancel,
    ChangeRequest,
    ControlRequest,
    Drain,
    Keep,
    Pause,
    Resume,
    SetBudget,
    SetPolicy,
    SetSLO,
    Undo,
)
from sarathid.protocol.slo import SLOChange


def command_of(op: ControlRequest) -> str:
    """Return the command, without the program's name, that asks for the same."""
    match op:
        case SetBudget():
            words = ["set-budget", str(op.budget)]
        case SetPolicy():
            words = ["set-policy", op.policy]
        case SetSLO():
            words = ["set-slo", *_targets(op.slo)]
        case Undo():
            words = ["undo", *([] if op.revision is None else [str(op.revision)])]
        case Keep():
            words = ["keep", *([] if op.revision is None else [str(op.revision)])]
        case Drain():
            words = ["drain"]
        case Pause():
            words = ["pause"]
        case Resume():
            words = ["resume"]
        case Cancel():
            words = ["cancel", str(op.request_id)]
        case _:
            raise AssertionError(f"no command does {op}")
    terms = _terms(op) if isinstance(op, ChangeRequest) else ()
    return shlex.join([*words, *terms])


def _targets(slo: SLOChange) -> Iterator[str]:
    for name, target_s in (("tbt", slo.tbt_s), ("ttft", slo.ttft_s)):
        if target_s is None:
            yield f"{name}=off"
        elif isinstance(target_s, float):
            yield f"{name}={units.exact_duration(target_s)}"


def _terms(op: ChangeRequest) -> Iterator[str]:
    if op.if_revision is not None:
        yield from ("--if-rev", str(op.if_revision))
    if op.confirm_s is not None:
        yield from ("--confirm", units.exact_duration(op.confirm_s))
    if op.guard:
        yield from ("--guard", op.guard)
    if op.reason:
        yield from ("-m", op.reason)
