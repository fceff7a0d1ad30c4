"""`sarathictl record`: the iteration log in a file, from the daemon's own recorder or from now on."""

import threading
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from sarathictl import units
from sarathictl.client.endpoint import check_reachable
from sarathictl.client.recording import TapeFile, fetch_recording, left_recording
from sarathictl.client.stats_stream import StatsStream
from sarathictl.invocation import Invocation, JsonOption, invocation_of
from sarathictl.state.engine_log import EngineLog
from sarathid.clock import wall_clock_offset_s
from sarathid.errors import ConfigError, NotReachable
from sarathid.protocol.control import MAX_RECORDING_S
from sarathid.tape.tape import Tape, TapeHeader

WRITE_EVERY_S = 1.0


def record(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where to: a new .srec file.")],
    last: Annotated[
        str | None, typer.Option(metavar="DURATION", help="What the daemon recorded of the last 10m, say.")
    ] = None,
    for_: Annotated[str | None, typer.Option("--for", metavar="DURATION", help="Record so long [until ^C].")] = None,
    json: JsonOption = False,
) -> None:
    """Save the iteration log to a file: what was, or from now on.

    With --last it comes from the daemon's own recorder, even from a daemon that is gone; else it begins now. No
    prompt and no answer is in it.
    """
    invocation = invocation_of(context, is_json=json)
    if last is not None:
        if for_ is not None:
            raise ConfigError("--last is what was, --for what will be; give one of them")
        tape = recorded(invocation, read_last_s(last))
        with TapeFile(out, tape.header, tape.start_s) as file:
            file.append(tape.frames)
    else:
        _follow(invocation, out, None if for_ is None else units.parse_duration_s(for_))
    _tell(invocation, out)


def read_last_s(text: str) -> float:
    """Return the seconds of `--last`; raises `ConfigError` when they are more than anybody may ask for."""
    last_s = units.parse_duration_s(text)
    if last_s > MAX_RECORDING_S:
        raise ConfigError(f"at most {units.duration(MAX_RECORDING_S)} can be asked for, not {text}")
    return last_s


def recorded(invocation: Invocation, last_s: float) -> Tape:
    """Return the last seconds that the daemon recorded; of one that is gone, those before its end."""
    try:
        return fetch_recording(invocation.ask(), last_s)
    except NotReachable:
        tape = left_recording(invocation.endpoint.runtime_dir, last_s)
        if tape is None:
            raise
        invocation.say("the daemon is gone; this is what it recorded before")
        return tape


def _follow(invocation: Invocation, out: Path, for_s: float | None) -> None:
    """Save what the daemon says until the time is up or somebody interrupts."""
    check_reachable(invocation.endpoint.control)
    log, ended = EngineLog(), threading.Event()
    stream = StatsStream(invocation.endpoint)
    stream.start()
    invocation.say("recording" + (" until ^C" if for_s is None else f" for {units.duration(for_s)}"))
    offset_s = wall_clock_offset_s()
    try:
        with TapeFile(out, TapeHeader.now(offset_s), 0.0) as file:
            left_s = for_s
            while left_s is None or left_s > 0.0:
                ended.wait(WRITE_EVERY_S if left_s is None else min(WRITE_EVERY_S, left_s))
                left_s = None if left_s is None else left_s - WRITE_EVERY_S
                _save(stream, log, file)
    except KeyboardInterrupt:
        pass
    finally:
        stream.close()


def _save(stream: StatsStream, log: EngineLog, file: TapeFile) -> None:
    for received in stream.drain():
        log.take(received.item, received.time_s)
    log.seal()
    file.append(log.frames)


def _tell(invocation: Invocation, out: Path) -> None:
    tape = Tape.read(out)
    num_bytes = out.stat().st_size
    span_s = tape.frames[-1].time_s - tape.start_s
    fields = {"file": str(out), "start_s": tape.start_s, "span_s": span_s, "num_bytes": num_bytes}
    invocation.answer(msgspec.to_builtins(fields), f"{out}: {units.duration(span_s)}, {units.size(num_bytes)}")
