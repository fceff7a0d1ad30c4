"""The calls that are made most, understood without Typer, which takes longer to come up than they take to answer.

What is not understood here is nobody's mistake: the whole command line is asked then.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sarathictl.call import GlobalOptions, Invocation
from sarathictl.client.endpoint import SSH_SCHEME, local_endpoint
from sarathictl.output import ExitCode, Form

if TYPE_CHECKING:
    from sarathictl.state.opening import View

_GLOBAL_FLAGS: Mapping[str, Mapping[str, Any]] = {
    "--json": {"form": Form.JSON},
    "--no-color": {"is_colorless": True},
    "--ascii": {"is_ascii": True},
    "--read-only": {"is_read_only": True},
    "--yes": {"is_sure": True},
    "-y": {"is_sure": True},
    "--quiet": {"is_quiet": True},
    "-q": {"is_quiet": True},
}
_GLOBAL_VALUES = {"-A": "addr", "--addr": "addr", "-c": "context", "--context": "context"}

Command = Callable[[Invocation], ExitCode]


def read_short_call(arguments: Sequence[str]) -> Callable[[], ExitCode] | None:
    """Return what does what the arguments ask for, None when it takes all of the command line to understand them."""
    if "_SARATHICTL_COMPLETE" in os.environ:
        return None
    split = _split(arguments)
    if split is None:
        return None
    options, name, rest = split
    choice = options.choose()
    command = COMMANDS[name](rest)
    if command is None or choice.addr.startswith(SSH_SCHEME):
        return None
    if "--json" in rest:
        options = replace(options, form=Form.JSON)
    return partial(command, options.invocation(choice, local_endpoint(choice.addr)))


def _split(arguments: Sequence[str]) -> tuple[GlobalOptions, str, list[str]] | None:
    """Return the options before a command that is known here, its name, and what follows it."""
    options, left = GlobalOptions(), list(arguments)
    while left:
        word = left.pop(0)
        if word in COMMANDS:
            return options, word, left
        if word in _GLOBAL_FLAGS:
            options = replace(options, **_GLOBAL_FLAGS[word])
        elif word in _GLOBAL_VALUES and left and not left[0].startswith("-"):
            given: Mapping[str, Any] = {_GLOBAL_VALUES[word]: left.pop(0)}
            options = replace(options, **given)
        else:
            return None
    return None


def _status(rest: Sequence[str]) -> Command | None:
    return _print_status if set(rest) <= {"--json"} else None


def _print_status(invocation: Invocation) -> ExitCode:
    from sarathictl.status_answer import print_status  # deferred: each call needs one of them

    print_status(invocation)
    return ExitCode.DONE


def _top(rest: Sequence[str]) -> Command | None:
    from sarathictl.watching import can_watch  # deferred: each call needs one of them

    view = read_view(rest)
    if view is None or os.environ.get("SARATHICTL_TOP") or not can_watch():
        return None
    return partial(_watch, view=view)


def read_view(rest: Sequence[str]) -> "View | None":
    """Return the screen that `top` is to come up with, None where more is said than that."""
    from sarathictl.state.opening import View

    match rest:
        case []:
            return View.LIVE
        case ["--view", name] if name in set(View):
            return View(name)
        case _:
            return None


def _watch(invocation: Invocation, view: "View") -> ExitCode:
    from sarathictl.client.contexts import Theme, control_file_path, read_control_file
    from sarathictl.state.alerts import AlertWatch, read_rules
    from sarathictl.state.opening import Opening
    from sarathictl.tui.alerts import Alerts
    from sarathictl.watching import watch

    file = read_control_file(control_file_path())
    opening = Opening(view=view, theme=file.theme or Theme.DARK)
    watch(invocation, file, opening, Alerts(AlertWatch(read_rules(file.alerts))))
    return ExitCode.DONE


COMMANDS: Mapping[str, Callable[[Sequence[str]], Command | None]] = {"status": _status, "top": _top}
