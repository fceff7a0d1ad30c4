"""`sarathid systemd-unit`: the daemon as a service of the user's own systemd."""

import re
import sys
from typing import Annotated

import typer

from sarathid.errors import ConfigError, ModelRefused, RuntimeDirectoryHeld

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

IN_VAIN = (ConfigError, RuntimeDirectoryHeld, ModelRefused)
UNIT = """\
[Unit]
Description=sarathid serves a language model

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
# --start-timeout and --drain-timeout bound both.
TimeoutStartSec=infinity
TimeoutStopSec=infinity
WatchdogSec=30
KillMode=mixed
Restart=on-failure
RestartPreventExitStatus={in_vain}
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


@app.command(context_settings={"ignore_unknown_options": True})
def systemd_unit(
    flags: Annotated[list[str] | None, typer.Argument(metavar="[FLAGS]...", help="Flags of `sarathid serve`.")] = None,
) -> None:
    """Print a unit of the type notify; write it to ~/.config/systemd/user/sarathid.service."""
    typer.echo(unit((sys.executable, "-m", "sarathid", "serve", *(flags or ()))), nl=False)


def unit(command: tuple[str, ...]) -> str:
    """Return the unit that runs a command and does not start it again where that would be in vain."""
    in_vain = " ".join(str(int(error.exit_code)) for error in IN_VAIN)
    return UNIT.format(command=" ".join(map(quoted, command)), in_vain=in_vain)


def quoted(argument: str) -> str:
    """Return an argument as systemd.service(5) has it in a command line; raises `ConfigError` for one of two lines."""
    if not argument.isprintable():
        raise ConfigError(f"{argument!r} can't be written in a unit")
    if re.fullmatch(r"[\w.,:/@+=-]+", argument):
        return argument
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
