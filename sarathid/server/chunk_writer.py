"""The body of a reply on its connection, written in chunks, without a message to the server for each."""

import asyncio
import time
from collections.abc import Callable

from sarathid.telemetry.pauses import Pauses

MAX_HELD_BYTES = 64 << 10


class ChunkWriter:
    """Writes to one connection chunks of the reply under way, whose head, sent as usual, says that it comes in chunks.

    The end is sent as usual, too, behind a `release`. What is written is sent when the event loop comes to it next: an
    iteration has tokens for many connections, and each that is sent may wake a client that takes the processor, so that
    all of them are sent sooner when they are made first. Nobody is to write while it `is_full`.
    """

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        """Write on the running loop."""
        self.is_full = False
        self.unread = Pauses()  # in which nothing could be sent, since the client did not read
        self.on_room: Callable[[], None] = _ignore  # the writer's, called when it is not full any more
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._is_paused = False
        self._held: list[bytes] = []
        self._num_held_bytes = 0

    def write(self, piece: bytes) -> None:
        """Write a piece of the body, which is not empty."""
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(b"%x\r\n%b\r\n" % (len(piece), piece))
        self._num_held_bytes += len(piece)
        self.is_full = self._is_paused or self._num_held_bytes >= MAX_HELD_BYTES

    def flush(self) -> None:
        """Send what was written, unless the client has gone."""
        if not self._held:
            return
        held, self._held, self._num_held_bytes = self._held, [], 0
        if not self._transport.is_closing():
            self._transport.write(b"".join(held))
            self._make_room()

    def pause(self) -> None:
        """Note that the client does not read what it has."""
        self._is_paused = self.is_full = True
        self.unread.begin(time.monotonic())

    def resume(self) -> None:
        """Note that it reads again."""
        self._is_paused = False
        self.unread.end(time.monotonic())
        self._make_room()

    def release(self) -> None:
        """Send what was written and let go of who wrote, whom the connection is not to keep alive for other replies."""
        self.on_room = _ignore
        self.flush()

    def _make_room(self) -> None:
        if self.is_full and not self._is_paused:
            self.is_full = False
            self.on_room()


def _ignore() -> None:
    """Be the reply that is not there."""
