"""The `sarathid` program: one file a subcommand, imported only when that one is asked for."""

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module

import typer

from sarathid.bound_process import die_if_bound
from sarathid.command_line import run
from sarathid.errors import EngineFailed, SarathiError
from sarathid.exit_codes import ExitCode
from sarathid.version import __version__

app = typer.Typer(
    name="sarathid",
    help="Serve language models without stalls.",
    epilog="\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {code.words}" for code in ExitCode),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# Each module has a Typer `app` of its own. Importing one may load a model library: not for --help.
_COMMANDS = {
    "serve": ("sarathid.commands.serve", "Serve a model on sockets in a private directory."),
    "join": ("sarathid.commands.join", "Run ranks of an engine that is on another node."),
    "simulate": ("sarathid.commands.simulate", "Say what a workload would see on devices that are not here."),
    "capacity": ("sarathid.commands.capacity", "Find the highest rate that meets an objective, simulated."),
    "profile": ("sarathid.commands.profile", "Measure this machine and keep what iterations cost here."),
    "reproduce": ("sarathid.commands.reproduce", "Run the paper's evaluation, simulated."),
    "models": ("sarathid.commands.models", "List, fetch and export models."),
    "systemd-unit": ("sarathid.commands.systemd_unit", "Print a systemd unit that serves with the given flags."),
}

# Exit codes of an engine's start that are told as they are: a wrong configuration, a refused model.
_TOLD_CODES = {ExitCode.USAGE, ExitCode.MODEL_REFUSED}


@app.callback(invoke_without_command=True)
def sarathid(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def _deferred(name: str, module: str) -> Callable[[typer.Context], None]:
    def run(context: typer.Context) -> None:
        if name == "serve":
            # It asks a daemon to read its configuration, which this one is about to do: importing takes a second.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        code = import_module(module).app(context.args, prog_name=context.command_path, standalone_mode=False)
        if code:
            raise typer.Exit(code)

    return run


for _name, (_module, _help) in _COMMANDS.items():
    app.command(
        _name,
        help=_help,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_deferred(_name, _module))


def main() -> None:
    """Run the program; a mistake ends it with one line on stderr and its exit code."""
    die_if_bound(os.environ)
    try:
        run(app, "sarathid")
    except SarathiError as error:
        typer.echo(f"sarathid: {error}", err=True)
        sys.exit(exit_code(error))


def exit_code(error: SarathiError) -> int:
    """Return the exit code that tells of `error`: of an engine that could not start, the one of its reason."""
    if isinstance(error, EngineFailed) and error.reason_code in _TOLD_CODES:
        return error.reason_code
    return error.exit_code
