"""A stream's tokens on their way through the servers: text, event and chunk of each, up to the socket."""

import asyncio
from collections.abc import Sequence
from functools import partial

from starlette.types import Message

from sarathid.clock import MonotonicClock
from sarathid.engine.token_stream import TokenStream
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.step import TokenDelta
from sarathid.server.answers import Answers
from sarathid.server.chunk_writer import ChunkWriter
from sarathid.server.generation import Generation
from sarathid.server.openai.reply import CompletionFormat, ReplyHead
from sarathid.server.openai.schema import StreamOptions
from sarathid.server.openai.stream import StreamedReply
from sarathid.server.tokenizer import Tokenizer
from tests.bench.hot_paths.hot_path import HotPath, Operations
from tests.factories import make_request
from tests.server.byte_tokenizer import make_tokenizer, token_ids

NUM_TOKENS = 64
TBT_S = 0.05
HEAD = ReplyHead(
    id="cmpl-0123456789abcdef0123456789abcdef",
    created=1_800_000_000,
    model="smollm2-135m-instruct-q8_0",
    system_fingerprint="sarathid 1.0.0 smollm2-135m-instruct-q8_0",
    tells_token_ids=True,
    tells_logprobs=False,
    tells_usage=False,
)


def stream() -> Operations:
    tokenizer = make_tokenizer()
    tokens = token_ids("Four score and seven years ago our fathers brought forth on this continent")[:NUM_TOKENS]
    try:
        with asyncio.Runner() as runner:
            while True:
                yield partial(_run, runner, tokenizer, tokens)
    finally:
        tokenizer.close()


def _run(runner: asyncio.Runner, tokenizer: Tokenizer, tokens: Sequence[int]) -> None:
    runner.run(_tell(tokenizer, tokens))


async def _tell(tokenizer: Tokenizer, tokens: Sequence[int]) -> None:
    """Answer one request, whose tokens come one by one as soon as the one before is written."""
    tokens_of = TokenStream(make_request(), lambda stream, reason: None, lambda stream, written_s, unread: None)
    generation = Generation(tokens_of, tokenizer.detokenizer(), (), tells_every_token=True)
    reply_format = CompletionFormat(HEAD, tokenizer.words, tokenizer.decode, echoes=False)
    reply = StreamedReply(Answers([lambda _: generation], 1), reply_format, MonotonicClock(), StreamOptions())
    scope = {"type": "http", "state": {"chunks": ChunkWriter(_Nowhere())}}
    answering = asyncio.create_task(reply(scope, _stay, _drop))
    await asyncio.sleep(0)  # it is about to wait for the client
    await asyncio.sleep(0)  # it listens
    for number, token_id in enumerate(tokens):
        is_last = number == len(tokens) - 1
        tokens_of.push(TokenDelta(1, token_id, FinishReason.LENGTH if is_last else None), number * TBT_S)
        tokens_of.on_news()
    await answering


async def _stay() -> Message:
    """Never leave, as a client does that wants all of its answer."""
    await asyncio.Event().wait()
    return {"type": "http.disconnect"}


async def _drop(message: Message) -> None:
    """Take what would be sent."""


class _Nowhere(asyncio.WriteTransport):
    """Takes what would be written."""

    def is_closing(self) -> bool:
        return False

    def write(self, data: object) -> None:
        pass


STREAMING = (HotPath("stream 64 tokens as events", stream),)
