"""Everything that a daemon tells, as it comes, for a program that waits for it."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import closing, suppress

from sarathictl.client.endpoint import Endpoint, check_reachable
from sarathictl.client.stats_stream import LinkState, Received, StatsStream, StreamItem
from sarathid.errors import CodecError, NotReachable


def batches(endpoint: Endpoint) -> Iterator[list[Received]]:
    """Yield what came since the last batch, a snapshot first, until closed; an empty batch tells that the link is down.

    Raises `NotReachable` when nobody listens at the start; later the daemon is waited for.
    """
    with closing(_arrivals(endpoint)) as arrivals:
        for stream in arrivals:
            received = stream.drain()
            if received or stream.link.state is LinkState.DOWN:
                yield received


def records(endpoint: Endpoint) -> Generator[StreamItem, None, None]:
    """Yield a `Snapshot` and then every record, until closed.

    After a loss there is a `RequestList`, behind a new engine another `Snapshot`. Raises `NotReachable` when the daemon
    is gone, now or later, and `CodecError` when it speaks another version.
    """
    with closing(_arrivals(endpoint)) as arrivals:
        for stream in arrivals:
            yield from _news(stream)


async def async_records(endpoint: Endpoint) -> AsyncGenerator[StreamItem, None]:
    """Yield what `records` does, and raise what it does, while the event loop does other things."""
    check_reachable(endpoint.control)
    has_news = asyncio.Event()
    stream = StatsStream(endpoint, _waking(asyncio.get_running_loop(), has_news))
    stream.start()
    try:
        while True:
            await has_news.wait()
            has_news.clear()
            for item in _news(stream):
                yield item
    finally:
        await asyncio.to_thread(stream.close)


def _arrivals(endpoint: Endpoint) -> Generator[StatsStream, None, None]:
    """Yield a stream each time that it has news, until closed."""
    check_reachable(endpoint.control)
    has_news = threading.Event()
    stream = StatsStream(endpoint, has_news.set)
    stream.start()
    try:
        while True:
            has_news.wait()
            has_news.clear()
            yield stream
    finally:
        stream.close()


def _waking(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> Callable[[], None]:
    """Return what sets an event of `loop` from another thread."""

    def wake() -> None:
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(event.set)

    return wake


def _news(stream: StatsStream) -> Iterator[StreamItem]:
    """Yield what came; raise what ended the link."""
    for received in stream.drain():
        yield received.item
    link = stream.link
    if link.state is LinkState.DOWN:
        raise NotReachable(link.message)
    if link.state is LinkState.FOREIGN:
        raise CodecError(link.message)
