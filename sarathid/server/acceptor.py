"""Takes connections from listening sockets, no more than the process has descriptors for."""

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import Callable, Sequence

SHARE_OF_DESCRIPTORS = 0.5  # the rest is for what else the daemon opens: ZeroMQ aborts a process that has none left
ACCEPTED_AT_ONCE = 64  # then the event loop turns to those who came before
RETRY_AFTER_S = 1.0
WARN_EVERY_S = 60.0
_NO_ROOM = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

log = logging.getLogger(__name__)


class Acceptor:
    """Takes who connects while there is room, and tells who comes then to come again, until it is closed.

    asyncio's own servers count nobody before they have taken a whole backlog, and log each failure to take one. Here
    who was taken counts at once, and one line a minute tells of all that were not.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        make_protocol: Callable[[], asyncio.Protocol],
        num_standing: Callable[[], int],
    ) -> None:
        """Begin to accept, on the running loop; `num_standing` counts the protocols that have their connections."""
        self._loop = asyncio.get_running_loop()
        self._listeners = tuple(listeners)
        self._make_protocol = make_protocol
        self._num_standing = num_standing
        self._arriving: set[asyncio.Task[object]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._warn_from_s = self._loop.time()
        for listener in self._listeners:
            listener.setblocking(False)
        self._open()

    def close(self) -> None:
        """Accept nobody more; the sockets stay open."""
        for listener in self._listeners:
            self._loop.remove_reader(listener)
        if self._retry is not None:
            self._retry.cancel()

    async def wait_closed(self) -> None:
        """Wait for those who were on their way in when it was closed."""
        if self._arriving:
            await asyncio.wait(self._arriving)

    def _open(self) -> None:
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            connection.setblocking(False)
            if self._num_standing() + len(self._arriving) < most_connections():
                self._take(connection)
            else:
                self._turn_away(connection)

    def _take(self, connection: socket.socket) -> None:
        arrival = self._loop.create_task(self._loop.connect_accepted_socket(self._make_protocol, connection))
        self._arriving.add(arrival)
        arrival.add_done_callback(self._arriving.discard)

    def _turn_away(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # it may have gone already
            connection.send(_NO_ROOM)
        self._warn(
            "%d connections stand, and no more may; a higher limit of open files allows more", most_connections()
        )

    def _pause(self, error: OSError) -> None:
        """Leave those who connect in their line for a moment: a socket with a line would be ready all the time."""
        self.close()
        self._retry = self._loop.call_later(RETRY_AFTER_S, self._open)
        self._warn("no connection can be taken (%s); it is tried again every second", error.strerror)

    def _warn(self, words: str, argument: object) -> None:
        if self._loop.time() >= self._warn_from_s:
            self._warn_from_s = self._loop.time() + WARN_EVERY_S
            log.warning(words, argument)


def most_connections() -> int:
    """Return how many connections may stand, of the descriptors that the process may have."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return int(SHARE_OF_DESCRIPTORS * soft)
