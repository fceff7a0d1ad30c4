"""What is said to who waits for an answer when the daemon ends."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sarathid.server.openai.errors import unavailable

ENDED = "the daemon ended before this request did; send it again when there is another one"


class Farewell:
    """Answers a request that is cancelled, as the server does when it ends, unless its answer has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            if is_begun:
                raise
            await unavailable(ENDED)(scope, receive, send)
