import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sarathid.engine.token_stream import TokenStream
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.step import TokenDelta
from sarathid.server.answers import AnswerDelta, Answers
from sarathid.server.generation import Generation
from sarathid.server.relay import Relay
from tests.factories import make_request
from tests.server.byte_tokenizer import make_tokenizer


class Asked:
    """A request with one answer, to which tokens can be brought."""

    def __init__(self) -> None:
        self._stream = TokenStream(make_request(), lambda stream, reason: None, lambda stream, written_s, unread: None)
        self.answers = Answers([self._start], 1)

    def bring(self, text: str, finish_reason: FinishReason | None = None) -> None:
        """Bring a character, in the way of the engine's client."""
        self._stream.push(TokenDelta(1, ord(text), finish_reason), 0.0)
        self._stream.on_news()

    def _start(self, number: int) -> Generation:
        return Generation(self._stream, make_tokenizer().detokenizer(), ())


def with_relay(
    use: Callable[[Asked, "asyncio.Task[None]", Relay], Awaitable[None]],
    tell: Callable[[AnswerDelta], None],
    can_tell: Callable[[], bool] = lambda: True,
) -> None:
    async def main() -> None:
        asked = Asked()
        relay = Relay(asked.answers, tell, can_tell)
        running = asyncio.create_task(relay.run())
        await asyncio.sleep(0)  # it listens
        await use(asked, running, relay)

    asyncio.run(main())


def test_what_is_brought_is_told_in_that_moment_up_to_the_end() -> None:
    told: list[str] = []

    async def use(asked: Asked, running: "asyncio.Task[None]", _relay: Relay) -> None:
        asked.bring("a")
        assert told == ["a"]
        asked.bring("b", FinishReason.LENGTH)
        assert told == ["a", "b"]
        await running
        asked.bring("c")
        assert told == ["a", "b"]

    with_relay(use, lambda news: told.append(news.delta.text))


def test_what_cannot_be_told_yet_waits_in_its_order() -> None:
    told: list[str] = []
    is_open = False

    async def use(asked: Asked, running: "asyncio.Task[None]", relay: Relay) -> None:
        nonlocal is_open
        asked.bring("a")
        asked.bring("b", FinishReason.LENGTH)
        assert told == []
        assert not running.done()
        is_open = True
        relay.go_on()
        await running
        assert told == ["a", "b"]

    with_relay(use, lambda news: told.append(news.delta.text), lambda: is_open)


def test_a_failure_to_tell_is_the_replys_and_not_that_of_who_brought_it() -> None:
    def fail(news: AnswerDelta) -> None:
        raise RuntimeError(news.delta.text)

    async def use(asked: Asked, running: "asyncio.Task[None]", _relay: Relay) -> None:
        asked.bring("a")
        asked.bring("b")
        with pytest.raises(RuntimeError, match="a"):
            await running

    with_relay(use, fail)


def test_who_is_cancelled_tells_no_more() -> None:
    told: list[str] = []

    async def use(asked: Asked, running: "asyncio.Task[None]", _relay: Relay) -> None:
        running.cancel()
        await asyncio.wait((running,))
        asked.bring("a")
        assert told == []

    with_relay(use, lambda news: told.append(news.delta.text))
