"""`sarathictl top`."""

import re
import secrets
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console

from sarathictl.client.alert_command import AlertCommand
from sarathictl.client.contexts import Theme, control_file_path, read_control_file
from sarathictl.client.endpoint import check_reachable
from sarathictl.client.fleet import Fleet
from sarathictl.client.stats_stream import Link
from sarathictl.client.still_source import StillSource
from sarathictl.invocation import Invocation, JsonOption, invocation_of
from sarathictl.state.alerts import AlertWatch, read_rules
from sarathictl.state.engine_log import EngineLog
from sarathictl.state.engine_view import EngineView
from sarathictl.state.opening import DEFAULT_RATE_HZ, RATES_HZ, Opening, View
from sarathictl.state.request_order import read_filter
from sarathictl.state.sentences import stall_sentence
from sarathictl.tui.alerts import Alerts
from sarathictl.tui.renderables.frame import draw_frame
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.line import in_ascii
from sarathictl.tui.renderables.look import look_of
from sarathictl.watching import can_watch, make_app, watch
from sarathictl.web.address import HOST, read_port
from sarathid.clock import VirtualClock, wall_clock_offset_s
from sarathid.errors import ConfigError
from sarathid.histogram import LatencyHistogram

if TYPE_CHECKING:
    from textual.pilot import Pilot


MAX_JSON_SAMPLES = 512
PATIENCE_S = 5.0


def top(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one picture as SVG and end.")] = None,
    size: Annotated[str, typer.Option(metavar="COLUMNSxLINES", help="How large one picture is.")] = "",
    view: Annotated[View, typer.Option(help="Which screen comes up.", case_sensitive=False)] = View.LIVE,
    rate: Annotated[
        float, typer.Option(metavar="HZ", min=RATES_HZ[0], max=RATES_HZ[-1], help="Pictures a second.")
    ] = DEFAULT_RATE_HZ,
    filter_: Annotated[
        str, typer.Option("--filter", metavar="WORDS", help="List these requests alone, as `requests --filter`.")
    ] = "",
    replay: Annotated[Path | None, typer.Option(metavar="FILE", help="Show a recording, as `replay` does.")] = None,
    alert: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC>BOUND", help="Flash above this: tbt.p99>120ms, kv>90%, wait>10 [the targets]."),
    ] = None,
    ring: Annotated[bool, typer.Option("--ring", help="Ring the terminal's bell at each alert.")] = False,
    on_alert: Annotated[
        str | None, typer.Option(metavar="CMD", help="Run this with each alert as JSON on its standard input.")
    ] = None,
    web: Annotated[
        str | None, typer.Option(metavar="PORT", help="Show it to browsers of this machine, who may only look.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Watch iterations, stalls and requests live."""
    invocation = invocation_of(context, is_json=json)
    read_filter(filter_)
    file = read_control_file(control_file_path())
    opening = Opening(view=view, rate_hz=rate, filter_text=filter_, theme=file.theme or Theme.DARK)
    if replay is not None:
        from sarathictl.commands.replay import play  # deferred: few want it

        play(invocation, replay, opening)
    elif svg is not None:
        _write_svg(invocation, svg, _read_size(size or "120x36"), opening)
    elif once or invocation.is_json:
        _print_picture(invocation, _read_size(size) if size else shutil.get_terminal_size())
    elif web is not None:
        _serve(invocation, web, opening)
    elif can_watch():
        command = None if on_alert is None else AlertCommand(on_alert)
        alerts = Alerts(AlertWatch(read_rules(alert or file.alerts)), rings=ring, command=command)
        watch(invocation, file, opening, alerts)
    else:
        invocation.say("this is no terminal to draw on; one picture follows")
        _print_picture(invocation, _read_size(size) if size else shutil.get_terminal_size())


def _serve(invocation: Invocation, address: str, opening: Opening) -> None:
    """Serve the console to browsers until interrupted."""
    port = read_port(address)
    try:
        from sarathictl.web.gate import PARAMETER, Gate  # deferred: they take an extra
        from sarathictl.web.view import WebView
    except ImportError as error:
        raise ConfigError("a console for browsers takes an extra: pip install 'sarathid[web]'") from error
    check_reachable(invocation.endpoint.control)
    token = secrets.token_urlsafe()

    def say() -> None:
        invocation.say(f"http://{HOST}:{port}/?{PARAMETER}={token} lets you look; ^C ends it")

    try:
        WebView(_command_for_browsers(invocation, opening), port, Gate(token, port), say).serve()
    except OSError as error:
        raise ConfigError(f"nothing can be served at port {port}: {error.strerror}") from error


def _command_for_browsers(invocation: Invocation, opening: Opening) -> list[str]:
    """Return the words that draw the same console, which may only read."""
    _, *daemon = shlex.split(invocation.program)
    flags = ["--read-only", *([] if invocation.has_color else ["--no-color"])]
    own = ["--view", opening.view, "--rate", f"{opening.rate_hz:g}", "--filter", opening.filter_text]
    return [sys.executable, "-m", "sarathictl", *daemon, *flags, "top", *own]


def _write_svg(invocation: Invocation, path: Path, size: tuple[int, int], opening: Opening) -> None:
    still = _still(invocation)
    file = read_control_file(control_file_path())
    fleet = Fleet.of_file(file, invocation.daemon.name, invocation.choice.addr, invocation.endpoint)
    app = make_app(invocation, still, VirtualClock(still.time_s), opening, fleet)

    async def export(pilot: "Pilot[object]") -> None:
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
        path.write_text(app.export_screenshot())
        app.exit()

    try:
        app.run(headless=True, size=size, auto_pilot=export)
    finally:
        fleet.close()
    invocation.say(f"wrote {path}")


def _still(invocation: Invocation) -> StillSource:
    return StillSource(invocation.endpoint, PATIENCE_S, invocation.timeout_s)


def _print_picture(invocation: Invocation, size: tuple[int, int]) -> None:
    source = _still(invocation)
    log = EngineLog()
    for received in source.drain():
        log.take(received.item, received.time_s)
    view = log.state.view(source.time_s)
    invocation.answer(_fields(view), "" if invocation.is_json else _picture(invocation, view, source.link, size))


def _picture(invocation: Invocation, view: EngineView, link: Link, size: tuple[int, int]) -> str:
    look = look_of("ansi" if invocation.has_color else None)
    watch = Watch(link=link, now_s=view.now_s, wall_offset_s=wall_clock_offset_s())
    console = Console(width=size[0], no_color=not invocation.has_color)
    with console.capture() as capture:
        for text in draw_frame(view, watch, *size, look):
            console.print(in_ascii(text) if invocation.is_ascii else text)
    return capture.get().rstrip("\n")


def _fields(view: EngineView) -> dict[str, Any]:
    """Return a view as JSON fields, with each stall's sentence and the newest samples alone."""
    fields: dict[str, Any] = msgspec.to_builtins(
        replace(view, samples=view.samples[-MAX_JSON_SAMPLES:], recent=(), happenings=()), enc_hook=_buckets
    )
    del fields["recent"], fields["happenings"]  # the samples and `sarathictl events` tell of the same
    for stall, described in zip(view.stalls, fields["stalls"], strict=True):
        described["sentence"] = stall_sentence(stall)
    return fields


def _buckets(histogram: LatencyHistogram) -> list[tuple[float, int]]:
    """Return a distribution as JSON can hold it: the upper edge of each bucket in seconds, and how many lie in it."""
    return list(histogram.buckets())


def _read_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{2,3})x(\d{2,3})", text)
    if match is None:
        raise ConfigError(f"{text!r} is not a size; write 120x36")
    return int(match[1]), int(match[2])
