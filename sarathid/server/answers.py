"""All answers to one HTTP request: some of each prompt, as they come."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any, TypeAlias

import msgspec

from sarathid.engine.inbox import Inbox
from sarathid.errors import SarathiError
from sarathid.protocol.requests import FinishReason
from sarathid.server.answer_text import TextDelta
from sarathid.server.generation import Generation

StartAnswer: TypeAlias = Callable[[int], Generation]


class AnswerDelta(msgspec.Struct, frozen=True):
    """News of answer `index`, which `generation` gives."""

    index: int
    generation: Generation
    delta: TextDelta


class Answers:
    """`n` answers to each prompt; answer i of prompt p has the index `p * n + i`.

    The first answer to a prompt has it computed. The others start with its first token, and find the prompt in the
    prefix cache.
    """

    def __init__(self, prompts: Sequence[StartAnswer], n: int) -> None:
        """Start the first answer to each prompt, or none where one of them can't be: then it raises what that raised.

        `prompts` start answer number i to a prompt.
        """
        self._prompts = prompts
        self._n = n
        self._generations: dict[int, Generation] = {}
        try:
            for prompt in range(len(prompts)):
                self._start(prompt * n)
        except SarathiError:
            self.close()
            raise

    @property
    def num_prompt_tokens(self) -> int:
        """Tokens of all prompts, each counted once."""
        return sum(generation.num_prompt_tokens for generation in self._firsts)

    @property
    def num_cached_tokens(self) -> int:
        """Tokens of all prompts that needed not be computed."""
        return sum(generation.num_cached_tokens for generation in self._firsts)

    @property
    def num_output_tokens(self) -> int:
        return sum(generation.num_output_tokens for generation in self._generations.values())

    async def deltas(self) -> AsyncGenerator[AnswerDelta, None]:
        """Yield what comes, of whichever answer, until all have ended.

        An answer that can't be started ends with an error.
        """
        if len(self._prompts) * self._n == 1:
            async for delta in self._generations[0].deltas():
                yield AnswerDelta(0, self._generations[0], delta)
            return
        arrived = _Arrivals()
        try:
            for index in tuple(self._generations):
                arrived.expect(self._read(index, arrived))
            num_left = len(self._prompts) * self._n
            while num_left:
                news = await arrived.next()
                num_left -= news.delta.finish_reason is not None
                yield news
        finally:
            await arrived.close()

    def close(self) -> None:
        """End all that run. Safe to call twice."""
        for generation in self._generations.values():
            generation.close()

    @property
    def _firsts(self) -> list[Generation]:
        return [self._generations[prompt * self._n] for prompt in range(len(self._prompts))]

    def _start(self, index: int) -> Generation:
        prompt, number = divmod(index, self._n)
        generation = self._generations[index] = self._prompts[prompt](number)
        return generation

    async def _read(self, index: int, arrived: "_Arrivals") -> None:
        """Pass on what comes of an answer; with its first token, start the others to the same prompt."""
        generation = self._generations[index]
        others = range(index + 1, index + self._n) if index % self._n == 0 else range(0)
        async for delta in generation.deltas():
            for other in others:
                self._start_other(other, generation, arrived)
            others = range(0)
            arrived.put(AnswerDelta(index, generation, delta))

    def _start_other(self, index: int, first: Generation, arrived: "_Arrivals") -> None:
        try:
            self._start(index)
        except SarathiError:
            arrived.put(AnswerDelta(index, first, TextDelta("", (), FinishReason.ERROR)))
        else:
            arrived.expect(self._read(index, arrived))


class _Arrivals:
    """What several readers put, in the order in which it comes; the failure of one of them is raised instead."""

    def __init__(self) -> None:
        self._arrived: Inbox[AnswerDelta | BaseException] = Inbox()
        self._readers: set[asyncio.Task[None]] = set()

    def expect(self, reader: Coroutine[Any, Any, None]) -> None:
        """Run a reader."""
        task = asyncio.create_task(reader)
        self._readers.add(task)
        task.add_done_callback(self._note_end)

    def put(self, news: AnswerDelta) -> None:
        self._arrived.put(news)

    async def next(self) -> AnswerDelta:
        """Wait for what comes next."""
        found = await self._arrived.get()
        if isinstance(found, BaseException):
            raise found
        return found

    async def close(self) -> None:
        """End all readers."""
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def _note_end(self, reader: asyncio.Task[None]) -> None:
        if not reader.cancelled() and (failure := reader.exception()) is not None:
            self._arrived.put(failure)
