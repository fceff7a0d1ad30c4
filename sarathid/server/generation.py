"""One request's tokens as text: stop strings, finish reasons, usage."""

from collections.abc import Callable, Sequence

from sarathid.engine.token_stream import StreamTiming, TokenStream
from sarathid.protocol.logprobs import TokenLogprobs
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.step import TokenDelta
from sarathid.server.answer_text import AnswerText, TextDelta
from sarathid.server.detokenizer import IncrementalDetokenizer
from sarathid.telemetry.pauses import Pauses


class Generation:
    """A request under way, from the engine's tokens to text that may be sent.

    With `includes_stop` the text ends with what stopped it, a string that does not begin in its first `min_tokens`.
    With `tells_every_token` each token is a delta at once, of empty text while its text is not certain. One that
    `is_mute` is asked for its prompt alone, and tells nothing but its end.
    """

    def __init__(
        self,
        stream: TokenStream,
        detokenizer: IncrementalDetokenizer,
        stops: Sequence[str],
        *,
        includes_stop: bool = False,
        min_tokens: int = 0,
        tells_every_token: bool = False,
        is_mute: bool = False,
    ) -> None:
        self.tells_every_token = tells_every_token
        self._is_mute = is_mute
        self._has_ended = False
        self._stream = stream
        self._text = AnswerText(detokenizer, stops, includes_stop=includes_stop, min_tokens=min_tokens)

    @property
    def num_output_tokens(self) -> int:
        return self._text.num_output_tokens

    @property
    def num_prompt_tokens(self) -> int:
        return len(self._stream.prompt_token_ids)

    @property
    def num_cached_tokens(self) -> int:
        """Tokens of the prompt that needed not be computed."""
        return self._stream.num_cached_tokens

    @property
    def prompt_token_ids(self) -> tuple[int, ...]:
        return self._stream.prompt_token_ids

    @property
    def prompt_logprobs(self) -> tuple[TokenLogprobs, ...]:
        """How likely the tokens of the prompt were, from the second on, once the first of the answer is there."""
        return tuple(self._stream.prompt_logprobs)

    @property
    def timing(self) -> StreamTiming:
        """When its tokens came so far."""
        return self._stream.timing

    def listen(self, on_news: Callable[[], None]) -> None:
        """Call `on_news` from now on whenever there may be something to take."""
        self._stream.on_news = on_news

    def take(self) -> TextDelta | None:
        """Return the next text, None while there is none; only the last delta has a finish reason, and may be empty."""
        while not self._has_ended and (token := self._stream.take()) is not None:
            delta = _muted(token) if self._is_mute else self._text.advance(token)
            self._has_ended = delta.finish_reason is not None
            if delta.text or self.tells_every_token or self._has_ended:
                self._text.mark_sent()
                return delta
        return None

    def mark_delivered(self, now_s: float, unread: Pauses) -> None:
        """Say that the text of the last delta was written to the client's socket; it read nothing in `unread`."""
        self._stream.mark_delivered(now_s, unread)

    def close(self) -> None:
        """End the request: in the engine too, if it still runs there. Safe to call twice."""
        self._stream.close(FinishReason.STOP if self._text.is_stopped else FinishReason.CANCELLED)


def _muted(token: TokenDelta) -> TextDelta:
    """Return the end that a token may be, which is as long as was asked for unless it is an error."""
    is_end = token.finish_reason not in (None, FinishReason.ERROR)
    return TextDelta("", (), FinishReason.LENGTH if is_end else token.finish_reason)
