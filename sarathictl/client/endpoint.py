"""Which daemon is meant, and where its sockets are."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sarathictl.client.contexts import BadgeColor, ControlFile
from sarathid.errors import ConfigError, NotPermitted, NotReachable
from sarathid.paths import API_SOCKET, CONTROL_SOCKET, STATS_SOCKET, check_socket_path, runtime_dir

SSH_SCHEME = "ssh://"
FAILURE_FILE = "failure"
"""In a runtime directory that stands for another machine's: why that can't be reached, in words."""

_UNIX_SCHEME = "unix://"
_HTTP_SCHEMES = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One daemon, named by its runtime directory."""

    runtime_dir: Path

    @property
    def api(self) -> Path:
        return check_socket_path(self.runtime_dir / API_SOCKET)

    @property
    def control(self) -> Path:
        return check_socket_path(self.runtime_dir / CONTROL_SOCKET)

    @property
    def stats(self) -> Path:
        return check_socket_path(self.runtime_dir / STATS_SOCKET)


@dataclass(frozen=True, slots=True)
class Choice:
    """The address that is meant, what chose it, and whether only reading is wanted there; "" is this machine's own.

    `context` and `color` are what ctl.toml calls it, where that chose.
    """

    addr: str
    origin: str
    is_read_only: bool = False
    context: str | None = None
    color: BadgeColor | None = None


@dataclass(frozen=True, slots=True)
class Daemon:
    """What a daemon is called, and in which colour, where somebody chose one."""

    name: str
    is_named: bool = False
    color: BadgeColor | None = None


def choose_address(addr: str | None, context: str | None, environment: Mapping[str, str], file: ControlFile) -> Choice:
    """Return which daemon the flags mean, else the environment, else the file's current context.

    Raises `ConfigError` for a context that there is not.
    """
    if addr:
        return Choice(addr, "--addr")
    if context:
        return _choice_of(context, file, "--context")
    if named := environment.get("SARATHID_ADDR"):
        return Choice(named, "$SARATHID_ADDR")
    if named := environment.get("SARATHID_CONTEXT"):
        return _choice_of(named, file, "$SARATHID_CONTEXT")
    if named := environment.get("SARATHID_RUNTIME_DIR"):
        return Choice(named, "$SARATHID_RUNTIME_DIR")
    if file.current is not None:
        return _choice_of(file.current, file, "ctl.toml")
    return Choice("", "default")


def _choice_of(context: str, file: ControlFile, origin: str) -> Choice:
    found = file.context(context)
    return Choice(found.addr, f"{origin} {context}", found.read_only, context, found.color)


def local_endpoint(addr: str) -> Endpoint:
    """Return the daemon on this machine that a runtime directory, `unix://DIR` or "" names.

    Its control socket may be named in the directory's place. Raises `ConfigError` for any other scheme.
    """
    if not addr:
        return Endpoint(runtime_dir())
    path = addr.removeprefix(_UNIX_SCHEME)
    if "://" in path:
        has_api = ", since HTTP carries the API alone" if path.startswith(_HTTP_SCHEMES) else ""
        raise ConfigError(
            f"cannot reach {addr!r}{has_api}; name a runtime directory, unix://DIRECTORY or ssh://[USER@]HOST[/DIR]"
        )
    directory = Path(path).expanduser()
    return Endpoint(directory.parent if directory.name == CONTROL_SOCKET else directory)


def check_reachable(socket_path: Path) -> None:
    """Return when something accepts connections at `socket_path`, else raise `NotReachable` with what to do.

    It is a `NotPermitted` where others may connect.

    ZeroMQ connects in the background and never says that nobody is there, hence this question first.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(socket_path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotReachable(_why_nobody_answers(socket_path)) from error
        except PermissionError as error:
            raise NotPermitted(f"{socket_path} is closed to you; ask for a role at the daemon") from error
        except OSError as error:
            raise NotReachable(f"the daemon at {socket_path} is not reachable: {error.strerror}") from error


def _why_nobody_answers(socket_path: Path) -> str:
    try:
        return (socket_path.parent / FAILURE_FILE).read_text(encoding="utf-8")
    except OSError:
        return (
            f"no daemon answers at {socket_path}; start one with `sarathid serve`, "
            "or name its runtime directory with --addr"
        )
