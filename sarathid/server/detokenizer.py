"""Token ids to text, one at a time, never half a character."""

from collections.abc import Callable, Sequence

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MAX_UNSETTLED_TOKENS = 16
MAX_CHARACTER_TOKENS = 4


class IncrementalDetokenizer:
    """Turns one request's tokens into text as they come.

    A tokenizer's text of a token depends on its neighbours: one character may be spread over up to
    four byte tokens, and some decoders drop the space of the first word. So a window of tokens is
    decoded again with each one: its head is the last settled stretch (context, its text is out), and
    its tail ends in replacement characters as long as it ends inside a character. What was returned
    by `add` and `flush`, put together, is the decoder's text of all tokens.
    """

    def __init__(
        self, decode: Callable[[Sequence[int]], str], decode_one: Callable[[int], str], *, adds_up: bool
    ) -> None:
        """`decode_one` is `decode` of one token, from memory where it can be.

        With `adds_up` the text of tokens that are whole characters is that of each, put together, as it is where tokens
        are bytes.
        """
        self._decode = decode
        self._decode_one = decode_one
        self._adds_up = adds_up
        self._window: list[int] = []
        self._num_context_tokens = 0
        self._num_chars_out = 0

    def add(self, token_id: int) -> str:
        """Return the text that became certain with this token; often all of its own, sometimes none."""
        if self._adds_up and len(self._window) == self._num_context_tokens:
            text = self._decode_one(token_id)
            if text and not text.endswith(REPLACEMENT):
                self._window = [token_id]
                self._num_context_tokens, self._num_chars_out = 1, len(text)
                return text
        self._window.append(token_id)
        text = self._decode(self._window)
        settled = text.rstrip(REPLACEMENT)
        fresh = settled[self._num_chars_out :]
        self._num_chars_out += len(fresh)
        if fresh and len(settled) == len(text):
            self._settle()
        elif len(self._window) - self._num_context_tokens >= MAX_UNSETTLED_TOKENS:
            fresh += self._give_up_on_head()
        return fresh

    def flush(self) -> str:
        """Return what is still held back: replacement characters of a text that ends inside a character."""
        rest = self._decode(self._window)[self._num_chars_out :]
        self._num_chars_out += len(rest)
        return rest

    def _settle(self) -> None:
        del self._window[: self._num_context_tokens]
        self._num_context_tokens = len(self._window)
        if len(self._window) == 1:
            self._num_chars_out = len(self._decode_one(self._window[0]))
        else:
            self._num_chars_out = len(self._decode(self._window))

    def _give_up_on_head(self) -> str:
        """Return the head's text, which is longer than any character and so will not change any more.

        The window keeps the shortest tail whose text does not depend on the head.
        """
        text = self._decode(self._window)
        for num_kept in range(1, MAX_CHARACTER_TOKENS + 1):
            head = self._decode(self._window[:-num_kept])
            if head + self._decode(self._window[-num_kept:]) == text:
                break
        fresh = head[self._num_chars_out :]
        del self._window[:-num_kept]
        self._num_context_tokens = 0
        self._num_chars_out = max(0, self._num_chars_out - len(head))
        return fresh
