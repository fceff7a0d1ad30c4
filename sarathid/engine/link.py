"""The socket between the daemon and its engine process, by either end: messages, each behind its length."""

import asyncio
import select
import socket
from typing import NoReturn, Self

from sarathid.executor.frames import FrameSocket, framed, receive_frame
from sarathid.protocol.codec import decode, encode
from sarathid.protocol.step import EngineCommand, EngineMessage

READ_AT_ONCE_BYTES = 1 << 20
PATIENCE_MS = 100


class EngineLink:
    """The daemon's end, on its event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, connection: socket.socket) -> Self:
        """Return the end of a connected Unix socket, which it owns from now on."""
        return cls(*await asyncio.open_unix_connection(sock=connection, limit=READ_AT_ONCE_BYTES))

    async def receive(self) -> EngineMessage:
        """Wait for the engine's next message, for ever where it is gone: its owner sees that. Raises `CodecError`."""
        try:
            body = await receive_frame(self._reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            await _for_ever()
        message: EngineMessage = decode(body, EngineMessage)
        return message

    def send(self, body: bytes) -> None:
        """Send an encoded command, of which nobody hears where the engine is gone."""
        self._writer.write(framed(body))

    def close(self) -> None:
        """Let go of the engine, which gets what there was room for."""
        self._writer.transport.abort()


class DaemonLink:
    """The engine's end: a daemon that does not read, because it is stopped say, holds nobody up, and misses nothing."""

    def __init__(self, connection: socket.socket) -> None:
        self._frames = FrameSocket(connection)
        self._unsent = bytearray()
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(connection, select.POLLIN)
        self._writable.register(connection, select.POLLOUT)

    def fileno(self) -> int:
        return self._frames.fileno()

    @property
    def has_command(self) -> bool:
        """Whether `receive` would return at once, or soon in the midst of a command."""
        return bool(self._readable.poll(0))

    def receive(self) -> EngineCommand | None:
        """Wait for the next command; None when the daemon is gone."""
        body = self._frames.receive()
        return None if body is None else decode(body, EngineCommand)

    def send(self, message: EngineMessage) -> None:
        """Send the daemon a message, or as much of it as it has room for."""
        patience_ms = 0 if self._unsent else PATIENCE_MS  # for a message that is longer than the room
        self._unsent += framed(encode(message))
        self.flush(patience_ms)

    def flush(self, patience_ms: int) -> None:
        """Send what is left, until there was no room for so long; what a daemon that is gone missed is dropped."""
        while self._unsent and self._writable.poll(patience_ms):
            try:
                num_sent = self._frames.connection.send(self._unsent, socket.MSG_DONTWAIT)
            except OSError:
                self._unsent.clear()
            else:
                del self._unsent[:num_sent]

    def close(self) -> None:
        """Let go of the daemon, once it has read what was sent, unless it does not read."""
        self.flush(PATIENCE_MS)
        self._frames.close()


async def _for_ever() -> NoReturn:
    while True:
        await asyncio.Event().wait()
