"""The manual page of this program or one of its commands, in the language of `man`."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import typer

from sarathictl.output import ExitCode
from sarathid.errors import ConfigError
from sarathid.version import __version__

_ENVIRONMENT = {
    "SARATHID_ADDR": "The daemon that is meant, as --addr takes it.",
    "SARATHID_CONTEXT": "The daemon that is meant, by its name in ctl.toml.",
    "SARATHID_RUNTIME_DIR": "The runtime directory of the daemon that is meant.",
    "SARATHID_CONFIG": "Where ctl.toml is.",
    "SARATHID_READONLY": "Change nothing, as --read-only.",
    "SARATHICTL_TOP": "Flags that `top` gets before those that are typed.",
    "NO_COLOR, FORCE_COLOR": "No colours; colours where no terminal is.",
}
_FILES = {
    "$XDG_CONFIG_HOME/sarathid/ctl.toml": "Names of daemons, and how the console looks.",
    "$XDG_RUNTIME_DIR/sarathid": "The sockets of the daemon that is meant by default.",
}
_CODES = {
    ExitCode.DONE: "done",
    ExitCode.UNEXPECTED: "unexpected",
    ExitCode.USAGE: "the command line or a value that can never be right",
    ExitCode.NOT_REACHABLE: "no daemon answers",
    ExitCode.NO_SUCH_OBJECT: "no such request or revision",
    ExitCode.NOT_PERMITTED: "not permitted to you",
    ExitCode.CONFLICT: "somebody changed the settings first",
    ExitCode.REFUSED: "refused by the daemon's bounds or a guard",
    ExitCode.BAD_ANSWER: "answered, and the answer is bad",
    ExitCode.REVERTED: "applied, and taken back",
    ExitCode.TIMED_OUT: "no answer in time",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.PIPE_CLOSED: "whoever read the output has gone",
}


def manual_of(program: Any, words: Sequence[str]) -> str:
    """Return the page of `program`, the command that the words name or all of it.

    Raises `ConfigError` when they name none.
    """
    context = program.make_context("sarathictl", [], resilient_parsing=True)
    for word in words:
        found = program.get_command(context, word) if hasattr(program, "get_command") else None
        if found is None:
            raise ConfigError(f"there is no command {word!r}; see {context.command_path} --help")
        program, context = found, found.make_context(word, [], parent=context, resilient_parsing=True)
    return "\n".join(_page(program, context))


def _page(command: Any, context: typer.Context) -> Iterator[str]:
    name = context.command_path.replace(" ", "-")
    first, *rest = _paragraphs(command.help)
    yield f'.TH "{_roff(name.upper())}" 1 "" "sarathid {__version__}"'
    yield from (".SH NAME", _roff(f"{name} - {first.rstrip('.')}"))
    yield from (".SH SYNOPSIS", f".B {_roff(context.command_path)}", _roff(" ".join(_usage(command, context))))
    if rest:
        yield ".SH DESCRIPTION"
        yield from _joined(rest)
    yield ".SH OPTIONS"
    yield from _definitions(record for record in _records(command, context))
    if hasattr(command, "list_commands"):
        yield ".SH COMMANDS"
        for child in command.list_commands(context):
            yield from _section_of(command.get_command(context, child), child, context)
    if context.parent is None:
        yield from _shared()


def _section_of(command: Any, name: str, parent: typer.Context) -> Iterator[str]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    yield f'.SS "{_roff(" ".join((name, *_usage(command, context))))}"'
    yield from _joined(_paragraphs(command.help))
    yield ".RS"
    yield from _definitions(record for record in _records(command, context) if not record[0].endswith("--help"))
    yield ".RE"


def _shared() -> Iterator[str]:
    yield ".SH ENVIRONMENT"
    yield from _definitions(_ENVIRONMENT.items())
    yield ".SH FILES"
    yield from _definitions(_FILES.items())
    yield ".SH EXIT STATUS"
    yield from _definitions((str(int(code)), words) for code, words in _CODES.items())
    yield from (".SH SEE ALSO", "sarathid --help")


def _usage(command: Any, context: typer.Context) -> list[str]:
    pieces: list[str] = command.collect_usage_pieces(context)
    return pieces


def _records(command: Any, context: typer.Context) -> Iterator[tuple[str, str]]:
    """Yield each option and argument as it is written, with its words."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            yield record


def _definitions(records: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, words in records:
        yield from (".TP", f".B {_roff(name)}", _roff(words or "\N{NO-BREAK SPACE}"))


def _paragraphs(words: str | None) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in (words or "").split("\n\n")]


def _joined(paragraphs: Iterable[str]) -> Iterator[str]:
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ".PP"
        yield _roff(paragraph)


def _roff(text: str) -> str:
    """Return a line that `man` shows as it stands."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
