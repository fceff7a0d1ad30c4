"""`sarathictl _stdio SOCKET`: what `ssh://` addresses run at the other end."""

import os
import selectors
import socket
import sys
from typing import Annotated

import typer

from sarathictl.client.endpoint import check_reachable
from sarathictl.invocation import invocation_of
from sarathid.errors import ConfigError
from sarathid.paths import API_SOCKET, CONTROL_SOCKET, STATS_SOCKET

CHUNK_BYTES = 1 << 16


def _stdio(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SOCKET", help="api.sock, control.sock or stats.sock.")],
) -> None:
    """Join standard input and output to one of the daemon's sockets, until either ends."""
    if name not in (API_SOCKET, CONTROL_SOCKET, STATS_SOCKET):
        raise ConfigError(f"{name!r} is none of the daemon's sockets")
    path = invocation_of(context).endpoint.runtime_dir / name
    check_reachable(path)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        _join(connection)


def _join(connection: socket.socket) -> None:
    """Copy both ways until one side ends."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if not _copy(connection, is_from_daemon=key.fileobj is connection):
                    return


def _copy(connection: socket.socket, *, is_from_daemon: bool) -> bool:
    """Pass on what has come from one side; False when that side has ended."""
    if is_from_daemon:
        data = connection.recv(CHUNK_BYTES)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        data = os.read(sys.stdin.fileno(), CHUNK_BYTES)
        connection.sendall(data)
    return bool(data)
