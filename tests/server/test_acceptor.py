import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sarathid.server.acceptor import Acceptor, most_connections

GREETING = b"welcome"
NUM_CLIENTS = 100


class Greeter(asyncio.Protocol):
    """Greets who connects, and counts in `standing` until it is gone."""

    def __init__(self, standing: set["Greeter"]) -> None:
        self._standing = standing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._standing.add(self)
        transport.write(GREETING)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._standing.discard(self)


@contextmanager
def limited_to(num_descriptors: int) -> Iterator[None]:
    """Let this process open no descriptor from that number on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (num_descriptors, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(tmp_path / "socket"))
        listening.listen(NUM_CLIENTS)
        yield listening


@contextmanager
def clients_of(listener: socket.socket) -> Iterator[list[socket.socket]]:
    """Give clients that have connected, and that nobody has taken yet."""
    clients = [socket.socket(socket.AF_UNIX) for _ in range(NUM_CLIENTS)]
    for client in clients:
        client.connect(listener.getsockname())
        client.setblocking(False)
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


async def told_to(clients: list[socket.socket]) -> list[bytes]:
    loop = asyncio.get_running_loop()
    return list(await asyncio.gather(*(loop.sock_recv(client, 4096) for client in clients)))


def test_of_a_crowd_as_many_are_taken_as_may_stand_and_one_line_tells_of_the_others(
    listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    standing: set[Greeter] = set()

    async def main() -> list[bytes]:
        with clients_of(listener) as clients:
            num_there_already = most_connections() - 10
            acceptor = Acceptor([listener], lambda: Greeter(standing), lambda: num_there_already + len(standing))
            told = await told_to(clients)
            acceptor.close()
        await acceptor.wait_closed()
        return told

    told = asyncio.run(main())
    assert told[:10] == [GREETING] * 10
    assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in told[10:])
    assert [record.getMessage().split(", ")[0] for record in caplog.records] == [
        f"{most_connections()} connections stand"
    ]


def test_who_can_not_be_taken_for_want_of_descriptors_is_taken_later_and_one_line_tells_of_it(
    listener: socket.socket, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sarathid.server.acceptor.RETRY_AFTER_S", 0.001)
    standing: set[Greeter] = set()

    async def main() -> list[bytes]:
        with clients_of(listener) as clients:
            with limited_to(3):
                acceptor = Acceptor([listener], lambda: Greeter(standing), lambda: len(standing))
                await asyncio.wait_for(anything(caplog), 10)
            told = await told_to(clients)
            acceptor.close()
        await acceptor.wait_closed()
        return told

    assert asyncio.run(main()) == [GREETING] * NUM_CLIENTS
    assert [record.getMessage() for record in caplog.records] == [
        "no connection can be taken (Too many open files); it is tried again every second"
    ]


async def anything(log: pytest.LogCaptureFixture) -> None:
    while not log.records:
        await asyncio.sleep(0)
