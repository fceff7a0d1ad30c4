import asyncio
import contextlib
import socket
import time
import weakref
from collections.abc import Iterator

import pytest

from sarathid.server.chunk_writer import MAX_HELD_BYTES, ChunkWriter
from sarathid.telemetry.span import Span


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


async def writer_to(ours: socket.socket) -> tuple[ChunkWriter, asyncio.Transport]:
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    return ChunkWriter(transport), transport


async def turn() -> None:
    """Let the event loop do what it has to do now."""
    await asyncio.sleep(0)


def test_what_is_written_in_one_turn_is_sent_behind_it_each_piece_a_chunk() -> None:
    async def main() -> None:
        with pair() as (ours, theirs):
            writer, transport = await writer_to(ours)
            writer.write(b"data: x\n\n" * 2)
            writer.write(b"y")
            with pytest.raises(BlockingIOError):
                theirs.recv(1, socket.MSG_DONTWAIT)
            await turn()
            assert theirs.recv(1 << 16) == b"12\r\ndata: x\n\ndata: x\n\n\r\n1\r\ny\r\n"
            writer.write(b"z")
            writer.flush()
            assert theirs.recv(1 << 16) == b"1\r\nz\r\n"
            transport.abort()

    asyncio.run(main())


def test_nothing_is_sent_to_who_has_gone() -> None:
    async def main() -> bytes:
        with pair() as (ours, theirs):
            writer, transport = await writer_to(ours)
            writer.write(b"x")
            writer.flush()
            transport.close()
            writer.write(b"y")
            await turn()
            return theirs.recv(1 << 16)

    assert asyncio.run(main()) == b"1\r\nx\r\n"


def test_no_more_is_held_than_some_and_who_writes_hears_of_room() -> None:
    async def main() -> None:
        with pair() as (ours, theirs):
            writer, transport = await writer_to(ours)
            heard: list[bool] = []
            writer.on_room = lambda: heard.append(writer.is_full)
            writer.write(b"x" * (MAX_HELD_BYTES - 1))
            assert not writer.is_full
            writer.write(b"y")
            assert writer.is_full
            await turn()
            assert heard == [False]
            assert theirs.recv(MAX_HELD_BYTES // 2)
            transport.abort()

    asyncio.run(main())


def test_to_who_does_not_read_nothing_is_to_be_written_and_the_time_is_noted() -> None:
    async def main() -> None:
        with pair() as (ours, _):
            writer, transport = await writer_to(ours)
            heard: list[bool] = []
            writer.on_room = lambda: heard.append(writer.is_full)
            before_s = time.monotonic()
            writer.pause()
            writer.write(b"x")
            assert writer.is_full
            await turn()
            assert writer.is_full
            writer.resume()
            assert heard == [False]
            assert 0.0 < writer.unread.seconds_within(Span(before_s, time.monotonic())) < 10.0
            transport.abort()

    asyncio.run(main())


def test_who_has_written_is_not_kept_for_the_life_of_the_connection() -> None:
    class Reply:
        def go_on(self) -> None:
            """Write more."""

    async def main() -> None:
        with pair() as (ours, _):
            writer, transport = await writer_to(ours)
            reply = Reply()
            writer.on_room = reply.go_on
            kept = weakref.ref(reply)
            del reply
            assert kept() is not None
            writer.release()
            assert kept() is None
            transport.abort()

    asyncio.run(main())
