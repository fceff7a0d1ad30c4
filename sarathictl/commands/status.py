"""`sarathictl status`: the daemon in one look."""

import time
from enum import StrEnum
from typing import Annotated

import typer

from sarathictl import units
from sarathictl.commands.watch import WatchOption, watch
from sarathictl.invocation import Invocation, JsonOption, invocation_of
from sarathictl.output import ExitCode
from sarathictl.state.daemon_status import is_healthy
from sarathictl.status_answer import ask_status, print_status
from sarathid.errors import NotPermitted, NotReachable
from sarathid.protocol.control import DaemonState

LOOK_EVERY_S = 0.2


class Awaited(StrEnum):
    """What can be waited for."""

    READY = "ready"
    DRAINED = "drained"


def status(
    context: typer.Context,
    json: JsonOption = False,
    check: Annotated[
        bool, typer.Option("--check", help="Print nothing; exit 8 when not ready or a target is missed.")
    ] = False,
    wait: Annotated[
        Awaited | None, typer.Option("--wait", help="Print nothing; end when it is ready, or nothing runs any more.")
    ] = None,
    deadline: Annotated[str | None, typer.Option(metavar="DURATION", help="Wait no longer; exit 124.")] = None,
    again: WatchOption = False,
) -> None:
    """Show what runs, with which settings, and how well."""
    invocation = invocation_of(context, is_json=json)
    if wait is not None:
        wait_for(invocation, wait, None if deadline is None else units.parse_duration_s(deadline))
        return
    if check:
        raise typer.Exit(ExitCode.DONE if is_healthy(ask_status(invocation)) else ExitCode.BAD_ANSWER)

    watch(invocation, lambda: print_status(invocation), is_repeated=again)


def wait_for(invocation: Invocation, awaited: Awaited, deadline_s: float | None) -> None:
    """Return when the daemon is ready, or is gone, or paused with nothing in flight.

    Raises `TimeoutError` when that comes too late.
    """
    started_s = time.monotonic()
    while not _has_come(invocation, awaited):
        if deadline_s is not None and time.monotonic() - started_s >= deadline_s:
            raise TimeoutError(f"the daemon was not {awaited} within {units.duration(deadline_s)}")
        time.sleep(LOOK_EVERY_S)


def _has_come(invocation: Invocation, awaited: Awaited) -> bool:
    try:
        found = ask_status(invocation)
    except NotPermitted:
        raise
    except NotReachable:
        return awaited is Awaited.DRAINED
    except TimeoutError:
        return False
    if awaited is Awaited.READY:
        return found.state is DaemonState.READY
    return found.state is DaemonState.PAUSED and found.num_running + found.num_waiting == 0
