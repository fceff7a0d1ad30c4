"""A client of an engine over a real socket, with what it published."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from sarathid.engine.client import EngineClient
from sarathid.engine.link import DaemonLink
from sarathid.engine.token_stream import TokenStream
from sarathid.protocol.requests import SamplingParams
from sarathid.protocol.stats import (
    StreamRecord,
)
from tests.engine.hosted import hosted_engine
from tests.engine.reading import deltas_of
from tests.factories import Engine

Record = TypeVar("Record")
GREEDY = SamplingParams(temperature=0.0, max_tokens=20, ignore_eos=True)


class Session:
    """A connected client and every record that it published."""

    def __init__(self, client: EngineClient) -> None:
        self.client = client
        self.records: list[StreamRecord] = []
        self._changed = asyncio.Event()
        client.subscribe(self._note)

    def of(self, type_: type[Record]) -> list[Record]:
        return [record for record in self.records if isinstance(record, type_)]

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait, record by record, until the condition holds."""
        async with asyncio.timeout(20.0):
            while not is_true():
                self._changed.clear()
                await self._changed.wait()

    def _note(self, record: StreamRecord) -> None:
        self.records.append(record)
        self._changed.set()


@asynccontextmanager
async def running(client: EngineClient, engine: Engine) -> AsyncIterator[None]:
    """Connect the client to `engine` and pass messages on; on leaving the engine is gone."""
    with hosted_engine(engine) as connection:
        await client.connect(connection)
        talking = asyncio.create_task(client.run())
        try:
            yield
        finally:
            talking.cancel()
            await asyncio.wait((talking,))
            client.disconnected()


@contextmanager
def talker() -> Iterator[tuple[socket.socket, DaemonLink]]:
    """Give the daemon's end of a socket, and what speaks at the other."""
    ours, theirs = socket.socketpair()
    with contextlib.closing(DaemonLink(theirs)) as link:
        yield ours, link


def with_engine(body: Callable[[Session], Awaitable[None]], **engine: int) -> None:
    """Run `body` with a session over a new engine."""

    async def main() -> None:
        session = Session(EngineClient(max_queue_len=4))
        async with running(session.client, Engine(**engine)):  # type: ignore[arg-type]
            await body(session)
        await session.client.close()

    asyncio.run(main())


async def read(stream: TokenStream) -> list[int]:
    return [delta.token_id async for delta in deltas_of(stream) if delta.token_id is not None]
