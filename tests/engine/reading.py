"""A reader of a request's stream that waits for its deltas."""

import asyncio
from collections.abc import AsyncIterator

from sarathid.engine.token_stream import TokenStream
from sarathid.protocol.step import TokenDelta


async def deltas_of(stream: TokenStream) -> AsyncIterator[TokenDelta]:
    """Yield deltas up to the one that has a finish reason."""
    news = asyncio.Event()
    stream.on_news = news.set
    while True:
        while (delta := stream.take()) is not None:
            yield delta
            if delta.finish_reason is not None:
                return
        news.clear()
        await news.wait()
