import asyncio
import contextlib
import socket
import time
import weakref
from collections.abc import Iterator

from sarathid.server.chunk_writer import ChunkWriter
from sarathid.telemetry.span import Span


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


async def writer_to(ours: socket.socket) -> tuple[ChunkWriter, asyncio.Transport]:
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    return ChunkWriter(transport), transport


def test_each_piece_is_a_chunk_and_with_the_client_at_once() -> None:
    async def main() -> bytes:
        with pair() as (ours, theirs):
            writer, transport = await writer_to(ours)
            writer.write(b"data: x\n\n" * 2)
            transport.abort()
            return theirs.recv(1 << 16)

    assert asyncio.run(main()) == b"12\r\ndata: x\n\ndata: x\n\n\r\n"


def test_nothing_is_written_to_who_has_gone() -> None:
    async def main() -> bytes:
        with pair() as (ours, theirs):
            writer, transport = await writer_to(ours)
            writer.write(b"x")
            transport.close()
            writer.write(b"y")
            return theirs.recv(1 << 16)

    assert asyncio.run(main()) == b"1\r\nx\r\n"


def test_who_writes_hears_of_room_and_the_time_without_it_is_noted() -> None:
    async def main() -> None:
        with pair() as (ours, _):
            writer, transport = await writer_to(ours)
            heard: list[bool] = []
            writer.on_room = lambda: heard.append(writer.is_full)
            before_s = time.monotonic()
            writer.pause()
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
