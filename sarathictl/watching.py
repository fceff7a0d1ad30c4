"""The console over a daemon that lives."""

import gc
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sarathictl.call import Invocation
from sarathictl.client.contexts import ControlFile
from sarathictl.client.control import PLAN_TIMEOUT_S
from sarathictl.client.daemon_clock import clock_of
from sarathictl.client.endpoint import SSH_SCHEME, check_reachable
from sarathictl.client.fleet import Fleet
from sarathictl.client.stats_stream import StatsStream
from sarathictl.state.opening import Opening
from sarathictl.state.outflow import Outflow
from sarathictl.tui.alerts import Alerts
from sarathid.clock import Clock, MonotonicClock

if TYPE_CHECKING:
    from sarathictl.tui.app import ConsoleApp, Source

GATHER_S = 0.1  # pictures come ten times a second at most
COLLECT_AFTER = (
    20_000  # objects: a picture makes thousands, few of them in circles, and 700 cost a twentieth of the time
)


def can_watch() -> bool:
    """Return whether there is a terminal to draw on, or whoever started us stands in for one, as for a browser."""
    if "TEXTUAL_DRIVER" in os.environ:
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def watch(invocation: Invocation, file: ControlFile, opening: Opening, alerts: Alerts) -> None:
    """Run the console; the stream fetches its snapshot while Textual is being imported.

    Ends the process where a signal ended the console, with the code that says so, once the terminal is as it was.
    """
    check_reachable(invocation.endpoint.control)
    is_remote = invocation.choice.addr.startswith(SSH_SCHEME)
    clock = clock_of(invocation.ask()) if is_remote else MonotonicClock()
    stream = StatsStream(invocation.endpoint, clock=clock, gather_s=GATHER_S, tells_status=True)
    stream.start()
    fleet = Fleet.of_file(file, invocation.daemon.name, invocation.choice.addr, invocation.endpoint)
    try:
        with _nothing_collected():
            app = make_app(invocation, stream, clock, opening, fleet, alerts)
        app.run()
    finally:
        stream.close()
        fleet.close()
    if app.return_code:
        sys.exit(app.return_code)


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Load what stays: no garbage collection passes over it, neither meanwhile (a tenth of the time) nor later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER)
        gc.enable()


def make_app(
    invocation: Invocation,
    source: "Source",
    clock: Clock,
    opening: Opening,
    fleet: Fleet | None = None,
    alerts: Alerts | None = None,
) -> "ConsoleApp":
    """Return the console over a source of records."""
    from sarathictl.tui.app import ConsoleApp  # deferred: Textual takes 0.4 CPU seconds

    if not invocation.has_color:
        os.environ["NO_COLOR"] = "1"  # Textual reads it when an app is built
    return ConsoleApp(
        source,
        invocation.ask(),
        invocation.ask(max(invocation.timeout_s, PLAN_TIMEOUT_S)),
        clock=clock,
        wall_offset_s=time.time() - clock.now_s(),
        has_color=invocation.has_color,
        is_ascii=invocation.is_ascii,
        ask_fleet=None if fleet is None else fleet.ask,
        limit=invocation.limit,
        program=invocation.program,
        daemon=invocation.daemon,
        alerts=alerts,
        opening=opening,
        outflow=terminal_outflow(),
    )


def terminal_outflow() -> Outflow:
    """Return the account of what goes to the terminal, which ssh says whether it is far."""
    return Outflow(MonotonicClock(), is_remote="SSH_CONNECTION" in os.environ)
