"""Which daemon is meant, and where its sockets are."""

import socket
from dataclasses import dataclass
from pathlib import Path

from sarathid.errors import ConfigError, NotPermitted, NotReachable
from sarathid.paths import API_SOCKET, CONTROL_SOCKET, STATS_SOCKET, check_socket_path, runtime_dir

_UNIX_SCHEME = "unix://"


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


def resolve_endpoint(address: str | None) -> Endpoint:
    """Return the daemon that `address` (a runtime directory or `unix://DIR`) or the environment names.

    Raises `ConfigError` for any other scheme.
    """
    if not address:
        return Endpoint(runtime_dir())
    path = address.removeprefix(_UNIX_SCHEME)
    if "://" in path:
        raise ConfigError(f"cannot reach {address!r}; name a runtime directory or unix://DIRECTORY")
    return Endpoint(Path(path).expanduser())


def check_reachable(socket_path: Path) -> None:
    """Return when something accepts connections at `socket_path`, else raise `NotReachable` with what to do.

    It is a `NotPermitted` where others may connect.

    ZeroMQ connects in the background and never says that nobody is there, hence this question first.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(socket_path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotReachable(
                f"no daemon answers at {socket_path}; start one with `sarathid serve`, "
                "or name its runtime directory with --addr"
            ) from error
        except PermissionError as error:
            raise NotPermitted(f"{socket_path} is closed to you; ask for a role at the daemon") from error
        except OSError as error:
            raise NotReachable(f"the daemon at {socket_path} is not reachable: {error.strerror}") from error
