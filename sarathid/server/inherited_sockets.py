"""The sockets that a service manager listens at for the daemon: the protocol of sd_listen_fds(3)."""

import os
import socket
from collections.abc import MutableMapping
from pathlib import Path

from sarathid.errors import ConfigError

FIRST_FD = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def inherited_sockets(environment: MutableMapping[str, str]) -> dict[Path, socket.socket]:
    """Return the sockets that this process was passed, by their paths, and take them out of the environment.

    Raises `ConfigError` for one that is no listening Unix stream socket with a path.
    """
    pid, count, _names = (environment.pop(variable, "") for variable in _VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal():
        return {}
    found = [_socket(descriptor) for descriptor in range(FIRST_FD, FIRST_FD + int(count))]
    return {Path(listener.getsockname()).resolve(): listener for listener in found}


def _socket(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigError(f"descriptor {descriptor} of $LISTEN_FDS is no socket: {error.strerror}") from error
    is_ours = listener.family == socket.AF_UNIX and listener.type == socket.SOCK_STREAM
    if not (is_ours and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and _has_path(listener)):
        listener.close()
        raise ConfigError(
            f"descriptor {descriptor} of $LISTEN_FDS does not listen at a path; use ListenStream=DIR/api.sock"
        )
    return listener


def _has_path(listener: socket.socket) -> bool:
    address = listener.getsockname()
    return isinstance(address, str) and address.startswith("/")
