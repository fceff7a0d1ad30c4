import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sarathid.engine.inbox import Inbox


def with_inbox(use: Callable[[Inbox[int]], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20.0):
            await use(Inbox())

    asyncio.run(main())


def test_what_is_put_is_read_in_its_order_by_who_waits_and_by_who_comes_later() -> None:
    async def use(inbox: Inbox[int]) -> None:
        first = asyncio.create_task(inbox.get())
        await asyncio.sleep(0)  # it waits
        for item in range(3):
            inbox.put(item)
        assert [await first, await inbox.get(), await inbox.get()] == [0, 1, 2]

    with_inbox(use)


@pytest.mark.parametrize("is_put_first", [True, False])
def test_an_item_that_comes_when_its_reader_is_cancelled_waits_for_the_next(is_put_first: bool) -> None:
    async def use(inbox: Inbox[int]) -> None:
        reader = asyncio.create_task(inbox.get())
        await asyncio.sleep(0)  # it waits
        if is_put_first:
            inbox.put(1)
        reader.cancel()
        if not is_put_first:
            inbox.put(1)
        await asyncio.wait((reader,))
        assert reader.cancelled()
        inbox.put(2)
        assert [await inbox.get(), await inbox.get()] == [1, 2]

    with_inbox(use)
