"""The tokens of one answer as text that may be shown: whole characters, up to a stop string."""

from collections.abc import Sequence

import msgspec

from sarathid.protocol.logprobs import TokenLogprobs
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.step import TokenDelta
from sarathid.server.detokenizer import IncrementalDetokenizer
from sarathid.server.stop_strings import StopStrings


class TextDelta(msgspec.Struct, frozen=True, gc=False):  # one a token: made in a tenth of a dataclass's time
    """Text that became certain, and the tokens that came since the delta before (held-back ones included).

    `logprobs` are theirs, if they were asked for.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason | None
    logprobs: tuple[TokenLogprobs, ...] = ()


class AnswerText:
    """Takes the engine's tokens of one request; a stop string ends the text, and the engine has yet to be told.

    With `includes_stop` the text ends with that string, or with the stop token's text. In the text of the first
    `min_tokens` tokens no stop string begins.
    """

    def __init__(
        self,
        detokenizer: IncrementalDetokenizer,
        stops: Sequence[str],
        *,
        includes_stop: bool = False,
        min_tokens: int = 0,
    ) -> None:
        self._detokenizer = detokenizer
        self._includes_stop = includes_stop
        self._min_tokens = min_tokens
        self._stops = StopStrings(stops, are_shown=includes_stop)
        self._unsent_token_ids: list[int] = []
        self._unsent_logprobs: list[TokenLogprobs] = []
        self.num_output_tokens = 0

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string has ended it."""
        return self._stops.is_stopped

    def advance(self, token: TokenDelta) -> TextDelta:
        """Return the text that became certain with a token, and the tokens since `mark_sent` was called."""
        finish_reason = token.finish_reason
        text = self._text_of(token)
        if finish_reason is not None:
            text += self._detokenizer.flush()
        if self.num_output_tokens > self._min_tokens:
            text = self._stops.feed(text)
        if finish_reason is not None:
            text += self._stops.flush()
        if self._stops.is_stopped:
            finish_reason = FinishReason.STOP
        return TextDelta(text, tuple(self._unsent_token_ids), finish_reason, tuple(self._unsent_logprobs))

    def mark_sent(self) -> None:
        """Say that the last delta is on its way, so that the next one tells of the tokens behind it."""
        self._unsent_token_ids.clear()
        self._unsent_logprobs.clear()

    def _text_of(self, token: TokenDelta) -> str:
        """Return the token's text; one that ends the text (end of sequence, a stop token) has none to be shown."""
        if token.token_id is None:
            return ""
        self.num_output_tokens += 1
        self._unsent_token_ids.append(token.token_id)
        if token.logprobs is not None:
            self._unsent_logprobs.append(token.logprobs)
        if token.finish_reason is FinishReason.STOP and not self._includes_stop:
            return ""
        return self._detokenizer.add(token.token_id)
