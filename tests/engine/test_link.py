import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from sarathid.engine.link import DaemonLink, EngineLink
from sarathid.errors import CodecError
from sarathid.executor.frames import framed
from sarathid.protocol.codec import encode
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.step import CancelRequest, EngineBeat, EngineWaits, Shutdown

LONG = EngineWaits("x" * (4 << 20))  # more than a socket holds


@contextlib.contextmanager
def ends() -> Iterator[tuple[socket.socket, DaemonLink]]:
    ours, theirs = socket.socketpair()
    with ours, contextlib.closing(DaemonLink(theirs)) as engine:
        yield ours, engine


def test_messages_and_commands_arrive_whole_and_in_order() -> None:
    async def main() -> None:
        with ends() as (connection, engine):
            daemon = await EngineLink.over(connection)
            engine.send(EngineBeat())
            sending = asyncio.create_task(asyncio.to_thread(engine.send, LONG))
            assert [await daemon.receive(), await daemon.receive()] == [EngineBeat(), LONG]
            await sending
            assert not engine.has_command
            commands = [CancelRequest(number, FinishReason.STOP) for number in range(3)]
            for command in commands:
                daemon.send(encode(command))
            assert engine.has_command
            assert [engine.receive() for _ in commands] == commands
            daemon.close()
            await asyncio.sleep(0)  # it is closed
            assert engine.receive() is None

    asyncio.run(main())


def test_a_daemon_that_does_not_read_holds_nobody_up_and_misses_nothing() -> None:
    async def main() -> None:
        with ends() as (connection, engine):
            engine.send(LONG)
            engine.send(EngineBeat())
            daemon = await EngineLink.over(connection)
            flushing = asyncio.create_task(asyncio.to_thread(engine.flush, 10_000))
            assert [await daemon.receive(), await daemon.receive()] == [LONG, EngineBeat()]
            await flushing
            daemon.close()

    asyncio.run(main())


def test_who_is_gone_is_spoken_to_in_vain() -> None:
    async def main() -> None:
        with ends() as (connection, engine):
            connection.close()
            engine.send(EngineBeat())
            assert engine.receive() is None
        ours, theirs = socket.socketpair()
        daemon = await EngineLink.over(ours)
        theirs.close()
        daemon.send(encode(Shutdown()))
        with pytest.raises(TimeoutError):  # who owns the engine sees its end, and acts
            await asyncio.wait_for(daemon.receive(), 0.05)
        daemon.close()

    asyncio.run(main())


def test_what_no_engine_says_is_an_error() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        daemon = await EngineLink.over(ours)
        with theirs:
            theirs.send(framed(b"\xc1"))
            with pytest.raises(CodecError):
                await daemon.receive()
            theirs.send(b"\xff" * 4)
            with pytest.raises(CodecError, match="longer than"):
                await daemon.receive()
        daemon.close()

    asyncio.run(main())
