"""What one task waits for and others put: a queue without the locks, bounds and crowds of asyncio's."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """Items in the order in which they were put, on one event loop, for one reader at a time.

    Every token of every stream goes through one: asyncio's queue makes a dozen calls for each.
    """

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._reader: asyncio.Future[None] | None = None  # who waits

    def put(self, item: Item) -> None:
        """Add an item, and wake the reader if it waits."""
        self._items.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Item:
        """Wait for the next item and take it out; if this is cancelled, none is lost."""
        while not self._items:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._items.popleft()
