"""Runs a program, so that a mistake on its command line is told like any other: in one line."""

import sys

import typer

from sarathid.errors import ConfigError, SarathiError
from sarathid.exit_codes import ExitCode


def run(app: typer.Typer, name: str) -> None:
    """Run `app`, the program `name`, on this process's arguments and end the process with its exit code.

    Raises what its command raises, and `ConfigError` for arguments that it cannot take. Where a command is missing
    altogether, its help is shown.
    """
    try:
        code = app(prog_name=name, standalone_mode=False)
    except typer.Abort as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            sys.exit(ExitCode.INTERRUPTED)
        raise SarathiError("aborted") from error
    except typer.TyperException as error:
        if _is_help(error):
            typer.echo(error.format_message(), err=True)
            sys.exit(error.exit_code)
        raise ConfigError(_one_line(error)) from error
    sys.exit(code or 0)


def _is_help(error: typer.TyperException) -> bool:
    """Whether a command is missing and the message is the help that lists them."""
    context = _context_of(error)
    return context is not None and error.format_message() == context.get_help()


def _one_line(error: typer.TyperException) -> str:
    context, message = _context_of(error), " ".join(error.format_message().split())
    return message if context is None else f"{message.removesuffix('.')}; see {context.command_path} --help"


def _context_of(error: typer.TyperException) -> typer.Context | None:
    """Return the command that was being understood, where the error tells."""
    return getattr(error, "ctx", None)
