"""The body of a reply on its connection, written a chunk at a time, without a message to the server for each."""

import asyncio
import time
from collections.abc import Callable

from sarathid.telemetry.pauses import Pauses


class ChunkWriter:
    """Writes to one connection chunks of the reply under way, whose head, sent as usual, says that it comes in chunks.

    The end is sent as usual, too. As long as it `is_full`, since the client does not read, nobody is to write; in
    `unread` it was.
    """

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self.is_full = False
        self.unread = Pauses()
        self.on_room: Callable[[], None] = _ignore  # the writer's, called when it is not full any more
        self._transport = transport

    def write(self, piece: bytes) -> None:
        """Write a piece of the body, which is not empty; nothing once the client has gone."""
        if not self._transport.is_closing():
            self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def pause(self) -> None:
        """Note that the client does not read what it has."""
        self.is_full = True
        self.unread.begin(time.monotonic())

    def resume(self) -> None:
        """Note that it reads again."""
        self.is_full = False
        self.unread.end(time.monotonic())
        self.on_room()

    def release(self) -> None:
        """Let go of who wrote: the connection stays for other replies, and is not to keep alive what is done."""
        self.on_room = _ignore


def _ignore() -> None:
    """Be the reply that is not there."""
