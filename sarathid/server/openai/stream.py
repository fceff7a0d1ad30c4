"""Replies as ASGI applications: each ends its request in the engine when its client goes away."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sarathid.clock import Clock
from sarathid.protocol.requests import FinishReason
from sarathid.server.answer_text import TextDelta
from sarathid.server.answers import AnswerDelta, Answers
from sarathid.server.chunk_writer import ChunkWriter
from sarathid.server.openai.errors import error_body, error_response
from sarathid.server.openai.reply import ReplyFormat
from sarathid.server.openai.schema import PromptTokensDetails, StreamOptions, Usage
from sarathid.server.relay import Relay

ENGINE_FAILED = "the engine failed while it worked on this request; the daemon's log says why"


class WholeReply(Response):
    """One JSON body, sent when all answers have ended."""

    def __init__(self, answers: Answers, reply_format: ReplyFormat) -> None:
        super().__init__()
        self._answers = answers
        self._format = reply_format
        self._parts: defaultdict[int, list[AnswerDelta]] = defaultdict(list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.closing(self._answers):
            await run_while_connected(receive, self._reply(scope, receive, send))

    async def _reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Relay(self._answers, self._take).run()
        await self._joined()(scope, receive, send)

    def _take(self, news: AnswerDelta) -> None:
        self._parts[news.index].append(news)

    def _joined(self) -> Response:
        whole = [_joined(self._parts[index]) for index in sorted(self._parts)]
        if any(answer.delta.finish_reason in (None, FinishReason.ERROR) for answer in whole):
            return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, ENGINE_FAILED)
        return Response(self._format.whole(whole, usage_of(self._answers)), media_type="application/json")


class StreamedReply(Response):
    """Server-sent events, one for each piece of text (each token, where token ids are asked for), then `[DONE]`."""

    media_type = "text/event-stream"

    def __init__(self, answers: Answers, reply_format: ReplyFormat, clock: Clock, options: StreamOptions) -> None:
        super().__init__(headers={"cache-control": "no-cache", "transfer-encoding": "chunked"})
        del self.headers["content-length"]
        self._answers = answers
        self._format = reply_format
        self._clock = clock
        self._options = options
        self._begun: set[int] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.closing(self._answers):
            await run_while_connected(receive, self._stream(send, scope["state"]["chunks"]))

    async def _stream(self, send: Send, chunks: ChunkWriter) -> None:
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": self.raw_headers})
        relay = Relay(self._answers, partial(self._tell, chunks), lambda: not chunks.is_full)
        chunks.on_room = relay.go_on
        try:
            await relay.run()
        finally:
            chunks.release()
        end = b"data: [DONE]\n\n"
        if self._options.include_usage:
            end = _event(self._format.usage_event(usage_of(self._answers))) + end
        await send({"type": "http.response.body", "body": end, "more_body": False})

    def _tell(self, chunks: ChunkWriter, news: AnswerDelta) -> None:
        if news.delta.finish_reason is FinishReason.ERROR:
            chunks.write(_event(error_body(ENGINE_FAILED, "server_error")))
            self._answers.close()
            return
        usage = usage_of(self._answers) if self._options.tells_usage_so_far else None
        chunks.write(_event(self._format.event(news, is_first=news.index not in self._begun, usage=usage)))
        self._begun.add(news.index)
        if news.delta.text or news.generation.tells_every_token:
            news.generation.mark_delivered(self._clock.now_s(), chunks.unread)


def usage_of(answers: Answers) -> Usage:
    """Return what a request has used so far, in tokens; the tokens that ended its answers count."""
    num_prompt, num_output = answers.num_prompt_tokens, answers.num_output_tokens
    return Usage(num_prompt, num_output, num_prompt + num_output, PromptTokensDetails(answers.num_cached_tokens))


def _joined(parts: Sequence[AnswerDelta]) -> AnswerDelta:
    """Return all that came of one answer as if it had come at once."""
    deltas = [part.delta for part in parts]
    whole = TextDelta(
        text="".join([delta.text for delta in deltas]),
        token_ids=tuple(chain.from_iterable(delta.token_ids for delta in deltas)),
        finish_reason=deltas[-1].finish_reason,
        logprobs=tuple(chain.from_iterable(delta.logprobs for delta in deltas)),
    )
    return msgspec.structs.replace(parts[-1], delta=whole)


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


def _event(body: bytes) -> bytes:
    return b"data: %b\n\n" % body
