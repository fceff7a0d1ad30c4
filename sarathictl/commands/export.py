"""`sarathictl export`: what was recorded, in the forms that other tools read, and what these need to show it."""

import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import IO, Annotated, TypeAlias

import typer

from sarathictl import units
from sarathictl.commands.record import read_last_s, recorded
from sarathictl.export.jsonl import write_jsonl
from sarathictl.export.openmetrics import write_openmetrics
from sarathictl.export.perfetto import write_perfetto
from sarathictl.export.tables import TableName, write_csv
from sarathictl.export.told import Names
from sarathictl.invocation import Invocation, invocation_of
from sarathid.errors import ConfigError
from sarathid.tape.tape import Tape

DEFAULT_LAST = "5m"

Recording: TypeAlias = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="What `record` or the key r saved [the daemon's own recorder].")
]
Last: TypeAlias = Annotated[
    str | None, typer.Option(metavar="DURATION", help=f"Only the last 5m, say [{DEFAULT_LAST}, or all of a file].")
]
Out: TypeAlias = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to: a new file [standard output].")
]
KeepNames: TypeAlias = Annotated[
    bool, typer.Option("--names", help="Tell who asked [client-1f2e3d4c, another one in every export].")
]
Writer: TypeAlias = Callable[[Tape, IO[bytes], Names], None]

export = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False)


@export.callback()
def _export_command() -> None:
    """Print what was recorded in the forms that other tools read, and what these need for metrics.

    No prompt and no answer is in it.
    """


@export.command()
def perfetto(
    context: typer.Context, file: Recording = None, last: Last = None, out: Out = None, names: KeepNames = False
) -> None:
    """Write a trace for ui.perfetto.dev: stages, requests, counters, and arrows from who froze to what froze them."""
    if out is None and sys.stdout.isatty():
        raise ConfigError("a trace is no text for a terminal; name a file: --out run.pftrace")
    invocation = invocation_of(context)
    _export(invocation, file, last, out, names, write_perfetto, "open it at https://ui.perfetto.dev")


@export.command()
def csv(
    context: typer.Context,
    file: Recording = None,
    table: Annotated[TableName, typer.Option(help="What there is a row of.")] = TableName.ITERATIONS,
    last: Last = None,
    out: Out = None,
    names: KeepNames = False,
) -> None:
    """Write a table: a row an iteration, a request that ended, or a stall."""

    def write(tape: Tape, to: IO[bytes], called: Names) -> None:
        write_csv(tape, to, called, table)

    _export(invocation_of(context), file, last, out, names, write)


@export.command()
def jsonl(
    context: typer.Context, file: Recording = None, last: Last = None, out: Out = None, names: KeepNames = False
) -> None:
    """Write every record as an object of one line."""
    _export(invocation_of(context), file, last, out, names, write_jsonl)


@export.command()
def openmetrics(
    context: typer.Context, file: Recording = None, last: Last = None, out: Out = None, names: KeepNames = False
) -> None:
    """Write the daemon's metrics second by second, for Prometheus to take in later."""
    hint = "promtool tsdb create-blocks-from openmetrics reads it"
    _export(invocation_of(context), file, last, out, names, write_openmetrics, hint)


@export.command()
def grafana(context: typer.Context) -> None:
    """Print a dashboard for Grafana, on the metrics that Prometheus has of any number of daemons."""
    invocation_of(context).print(_stored("grafana.json"))


@export.command("prometheus-rules")
def prometheus_rules(context: typer.Context) -> None:
    """Print rules for Prometheus that alert when targets are missed, engines are lost or requests are refused."""
    invocation_of(context).print(_stored("prometheus_rules.yml"))


def _stored(name: str) -> str:
    return files("sarathictl.export").joinpath(name).read_text(encoding="utf-8").rstrip("\n")


def _export(
    invocation: Invocation,
    file: Path | None,
    last: str | None,
    out: Path | None,
    keeps_names: bool,
    write: Writer,
    hint: str = "",
) -> None:
    """Write a recording to a new file, or to standard output."""
    tape = _tape_of(invocation, file, last)
    names = Names(are_kept=keeps_names)
    if out is None:
        write(tape, sys.stdout.buffer, names)
        sys.stdout.buffer.flush()
        return
    try:
        with out.open("xb") as written:
            write(tape, written, names)
    except OSError as error:
        raise ConfigError(f"{out} can't be written: {error.strerror}; name another file") from error
    words = f"wrote {out}, {units.size(out.stat().st_size)}"
    invocation.say(f"{words}; {hint}" if hint else words)


def _tape_of(invocation: Invocation, file: Path | None, last: str | None) -> Tape:
    """Return the recording that is meant, as far back as is wanted."""
    if file is None:
        return recorded(invocation, read_last_s(last or DEFAULT_LAST))
    tape = Tape.read(file)
    return tape if last is None else tape.since(tape.frames[-1].time_s - read_last_s(last))
