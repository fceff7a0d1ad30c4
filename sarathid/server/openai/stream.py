"""Replies as ASGI applications: each ends its request in the engine when its client goes away."""

import asyncio
import contextlib
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sarathid.clock import Clock
from sarathid.protocol.requests import FinishReason
from sarathid.server.generation import Generation
from sarathid.server.openai.errors import error_body, error_response
from sarathid.server.openai.reply import ReplyFormat
from sarathid.server.openai.schema import PromptTokensDetails, Usage

ENGINE_FAILED = "the engine failed while it worked on this request; the daemon's log says why"


class WholeReply(Response):
    """One JSON body, sent when the request has ended."""

    def __init__(self, generation: Generation, reply_format: ReplyFormat) -> None:
        super().__init__()
        self._generation = generation
        self._format = reply_format

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.closing(self._generation):
            await run_while_connected(receive, self._reply(scope, receive, send))

    async def _reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._collect()
        await response(scope, receive, send)

    async def _collect(self) -> Response:
        texts: list[str] = []
        token_ids: list[int] = []
        finish_reason = FinishReason.ERROR
        async for delta in self._generation.deltas():
            texts.append(delta.text)
            token_ids.extend(delta.token_ids)
            finish_reason = delta.finish_reason or finish_reason
        if finish_reason is FinishReason.ERROR:
            return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, ENGINE_FAILED)
        whole = self._format.whole("".join(texts), tuple(token_ids), finish_reason, usage_of(self._generation))
        return Response(msgspec.json.encode(whole), media_type="application/json")


class StreamedReply(Response):
    """Server-sent events, one for each piece of text (each token, where token ids are asked for), then `[DONE]`."""

    media_type = "text/event-stream"

    def __init__(
        self, generation: Generation, reply_format: ReplyFormat, clock: Clock, *, includes_usage: bool
    ) -> None:
        super().__init__(headers={"cache-control": "no-cache"})
        del self.headers["content-length"]
        self._generation = generation
        self._format = reply_format
        self._clock = clock
        self._includes_usage = includes_usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.closing(self._generation):
            await run_while_connected(receive, self._stream(send))

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": self.raw_headers})
        is_first = True
        async for delta in self._generation.deltas():
            if delta.finish_reason is FinishReason.ERROR:
                await _send_event(send, error_body(ENGINE_FAILED, "server_error"))
                break
            await _send_event(send, msgspec.json.encode(self._format.event(delta, is_first=is_first)))
            is_first = False
            if delta.text or self._generation.tells_every_token:
                self._generation.mark_delivered(self._clock.now_s())
        if self._includes_usage:
            await _send_event(send, msgspec.json.encode(self._format.usage_event(usage_of(self._generation))))
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})


def usage_of(generation: Generation) -> Usage:
    """Return what a request has used so far, in tokens; the token that ended it counts."""
    num_prompt, num_output = generation.num_prompt_tokens, generation.num_output_tokens
    return Usage(num_prompt, num_output, num_prompt + num_output, PromptTokensDetails(generation.num_cached_tokens))


async def run_while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end, or cancel it when the client goes away."""
    worker = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((worker, watcher), return_when=asyncio.FIRST_COMPLETED)
    finally:
        watcher.cancel()
        worker.cancel()
        await asyncio.wait((worker, watcher))
    if not worker.cancelled():
        worker.result()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_event(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": b"data: " + body + b"\n\n", "more_body": True})
