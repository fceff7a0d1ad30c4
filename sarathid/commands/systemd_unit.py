"""`sarathid systemd-unit`: the daemon as a service of the user's own systemd."""

import re
import sys
from itertools import zip_longest
from typing import Annotated

import typer

from sarathid.errors import ConfigError, ModelRefused, RuntimeDirectoryHeld
from sarathid.paths import API_SOCKET, CONTROL_SOCKET, STATS_SOCKET

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
SOCKET_UNIT = """\
[Unit]
Description=The sockets of sarathid, which starts when somebody connects

[Socket]
{listen}
SocketMode={mode}
DirectoryMode=0700

[Install]
WantedBy=sockets.target
"""
RUNTIME_DIR = "%t/sarathid"


@app.command(context_settings={"ignore_unknown_options": True})
def systemd_unit(
    flags: Annotated[list[str] | None, typer.Argument(metavar="[FLAGS]...", help="Flags of `sarathid serve`.")] = None,
    socket: Annotated[
        bool, typer.Option("--socket", help="Print the unit of its sockets, for sarathid.socket beside it.")
    ] = False,
) -> None:
    """Print a unit of the type notify; write it to ~/.config/systemd/user/sarathid.service."""
    if socket:
        typer.echo(socket_unit(flags or []), nl=False)
        return
    typer.echo(unit((sys.executable, "-m", "sarathid", "serve", *(flags or ()))), nl=False)


def unit(command: tuple[str, ...]) -> str:
    """Return the unit that runs a command and does not start it again where that would be in vain."""
    in_vain = " ".join(str(int(error.exit_code)) for error in IN_VAIN)
    return UNIT.format(command=" ".join(map(quoted, command)), in_vain=in_vain)


def socket_unit(flags: list[str]) -> str:
    """Return the unit of the sockets of a daemon with these flags, in its runtime directory and open to its group."""
    directory, group = value_of("--runtime-dir", flags), value_of("--socket-group", flags)
    place = RUNTIME_DIR if directory is None else plain(directory)
    listen = [f"ListenStream={place}/{name}" for name in (API_SOCKET, CONTROL_SOCKET, STATS_SOCKET)]
    if group is not None:
        listen.append(f"SocketGroup={plain(group)}")
    return SOCKET_UNIT.format(listen="\n".join(listen), mode="0600" if group is None else "0660")


def value_of(name: str, flags: list[str]) -> str | None:
    """Return what is written behind a flag, as `--name value` or `--name=value`; None if it is not there."""
    for flag, value in zip_longest(flags, flags[1:]):
        if flag == name:
            return value
        if flag.startswith(f"{name}="):
            return flag.removeprefix(f"{name}=")
    return None


def plain(value: str) -> str:
    """Return a value as systemd.unit(5) has it; raises `ConfigError` for one of two lines."""
    if not value.isprintable():
        raise ConfigError(f"{value!r} can't be written in a unit")
    return value.replace("%", "%%")


def quoted(argument: str) -> str:
    """Return an argument as systemd.service(5) has it in a command line; raises `ConfigError` for one of two lines."""
    escaped = plain(argument).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    if re.fullmatch(r"[\w.,:/@+=-]+", argument):
        return argument
    return f'"{escaped}"'
