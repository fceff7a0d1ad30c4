"""All answers to one HTTP request: some of each prompt, as they come."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import msgspec

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

    The first answer to a prompt has it computed. The others start with its first text, and find the prompt in the
    prefix cache.
    """

    def __init__(self, prompts: Sequence[StartAnswer], n: int) -> None:
        """Start the first answer to each prompt, or none where one of them can't be: then it raises what that raised.

        `prompts` start answer number i to a prompt.
        """
        self._prompts = prompts
        self._n = n
        self._generations: dict[int, Generation] = {}
        self._alone = set(range(0, len(prompts) * n, n)) if n > 1 else set()  # those whose others have yet to start
        self._arrived: deque[int] = deque()  # whose news there may be, in their order
        self._num_left = len(prompts) * n
        self._on_news: Callable[[], None] = _ignore
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

    @property
    def are_over(self) -> bool:
        """Whether nothing more comes: all were taken to their ends, or closed."""
        return not self._num_left

    def listen(self, on_news: Callable[[], None]) -> None:
        """Call `on_news` from now on whenever there may be something to take."""
        self._on_news = on_news

    def take(self) -> AnswerDelta | None:
        """Return what came next, of whichever answer; None while there is nothing.

        An answer that can't be started ends with an error.
        """
        while self._arrived:
            index = self._arrived.popleft()
            delta = self._take_of(index)
            if delta is not None:
                self._num_left -= delta.finish_reason is not None
                return AnswerDelta(index, self._generations.get(index) or self._first_of(index), delta)
        return None

    def close(self) -> None:
        """End all that run, of which nothing more comes. Safe to call twice."""
        self._num_left = 0
        self._arrived.clear()
        self._on_news = _ignore
        for generation in self._generations.values():
            generation.close()

    @property
    def _firsts(self) -> list[Generation]:
        return [self._generations[prompt * self._n] for prompt in range(len(self._prompts))]

    def _first_of(self, index: int) -> Generation:
        return self._generations[index - index % self._n]

    def _take_of(self, index: int) -> TextDelta | None:
        """Return what came of an answer; with its first text, start the others to the same prompt."""
        if index not in self._generations:
            return TextDelta("", (), FinishReason.ERROR)
        delta = self._generations[index].take()
        if delta is not None and index in self._alone:
            self._alone.remove(index)
            for other in range(index + 1, index + self._n):
                self._start_other(other)
        return delta

    def _start(self, index: int) -> None:
        prompt, number = divmod(index, self._n)
        generation = self._generations[index] = self._prompts[prompt](number)
        generation.listen(partial(self._arrive, index))

    def _start_other(self, index: int) -> None:
        try:
            self._start(index)
        except SarathiError:
            self._arrive(index)  # with nothing but its end

    def _arrive(self, index: int) -> None:
        self._arrived.append(index)
        self._on_news()


def _ignore() -> None:
    """Be the reader that is not there yet, or not any more."""
