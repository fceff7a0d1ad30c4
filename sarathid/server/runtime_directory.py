"""The daemon's hold on its runtime directory: one lock, sockets that only their owner may open, nothing left behind."""

import fcntl
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from sarathid.errors import ConfigError, RuntimeDirectoryHeld
from sarathid.paths import LOCK_FILE, check_not_shared, check_socket_path, make_private

LISTEN_BACKLOG = 1024


class RuntimeDirectory:
    """A private directory that one daemon holds; leaving the context removes its sockets.

    The lock is the kernel's (flock), so it ends with the process however that ends: a socket found
    under a lock that could be taken belongs to nobody and is replaced.
    """

    def __init__(
        self, path: Path, group_id: int | None = None, inherited: Mapping[Path, socket.socket] | None = None
    ) -> None:
        """Take the lock; members of `group_id` may pass through the directory and connect to its sockets.

        Those of `inherited`, by their paths, listen already; they are of who made them and stay when the daemon goes.
        Raises `RuntimeDirectoryHeld` when another daemon has the lock, and `ConfigError` when the directory can't be
        ours alone or a socket that was inherited lies elsewhere.
        """
        check_not_shared(path)
        self.path = make_private(path.absolute())
        self._group_id = group_id
        self._inherited = dict(inherited or {})
        for elsewhere in (path for path in self._inherited if path.parent != self.path.resolve()):
            raise ConfigError(f"a socket at {elsewhere} was passed, and {self.path} is --runtime-dir")
        self._sockets: list[Path] = []
        self._lock_fd = self._acquire()
        if group_id is not None:
            _open_to_group(self.path, group_id, 0o710)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for path in self._sockets:
            path.unlink(missing_ok=True)
        self.path.chmod(0o700)
        os.close(self._lock_fd)

    def listen(self, name: str, backlog: int = LISTEN_BACKLOG) -> socket.socket:
        """Return a listening Unix socket of mode 0600: there is no moment at which others may connect.

        As many as `backlog` may wait there to be taken.

        The mode is set on the descriptor, and Linux gives it to the file that bind makes. Where a group may connect, it
        is widened to 0660 before anybody can. One that was inherited stays as wide as it is, unless others may connect
        to it: then `ConfigError` is raised, as it is where the socket can't be made.
        """
        if (inherited := self._inherited.get(self.path.resolve() / name)) is not None:
            listener = self._checked(inherited)
            listener.listen(backlog)
            return listener
        path = self._reserve(name)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        os.fchmod(listener.fileno(), 0o600)
        try:
            listener.bind(os.fspath(path))
        except OSError as error:
            listener.close()
            raise ConfigError(f"{path} can't be made: {error.strerror}") from error
        if self._group_id is not None:
            _open_to_group(path, self._group_id, 0o660)
        listener.listen(backlog)
        return listener

    def _reserve(self, name: str) -> Path:
        """Return the path of a socket, free of what a killed daemon left.

        Raises `ConfigError` when the path is too long or something other than a socket is in its place.
        """
        path = check_socket_path(self.path / name)
        if path.is_socket():
            path.unlink()
        elif os.path.lexists(path):
            raise ConfigError(f"{path} is not a socket; move it away or choose another --runtime-dir")
        self._sockets.append(path)
        return path

    def _checked(self, inherited: socket.socket) -> socket.socket:
        path, mode = Path(inherited.getsockname()), 0o600 if self._group_id is None else 0o660
        found = path.stat()  # who may not write to a socket may not connect to it
        if found.st_mode & 0o222 & ~mode or (self._group_id is not None and found.st_gid != self._group_id):
            raise ConfigError(f"{path} lets others connect; set SocketMode={mode:04o} in the unit of the socket")
        return inherited

    def _acquire(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            lock_fd = os.open(self.path / LOCK_FILE, flags, 0o600)
        except OSError as error:
            raise ConfigError(f"{self.path / LOCK_FILE} can't be opened: {error.strerror}") from error
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.truncate(lock_fd, 0)
            os.pwrite(lock_fd, f"{os.getpid()}\n".encode("ascii"), 0)
        except BlockingIOError:
            holder = os.pread(lock_fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(lock_fd)
            raise RuntimeDirectoryHeld(
                f"{self.path} is held by the daemon with pid {holder}; stop it or choose another --runtime-dir"
            ) from None
        except OSError as error:
            os.close(lock_fd)
            raise ConfigError(f"{self.path / LOCK_FILE} can't be written: {error.strerror}; make room there") from error
        return lock_fd


def _open_to_group(path: Path, group_id: int, mode: int) -> None:
    try:
        os.chown(path, -1, group_id)
        path.chmod(mode)
    except PermissionError as error:
        raise ConfigError(f"{path} can't be given to group {group_id}; you must be a member of it") from error
