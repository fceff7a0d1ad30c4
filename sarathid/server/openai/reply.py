"""What goes back to a client: the same answers as completions or as chats, whole or in events."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from sarathid.server.answers import AnswerDelta
from sarathid.server.openai.event_envelope import EventEnvelope
from sarathid.server.openai.logprobs import chat_logprobs, completion_logprobs
from sarathid.server.openai.schema import (
    AssistantMessage,
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatDelta,
    ChatLogprobs,
    ChatReply,
    CompletionChoice,
    CompletionLogprobs,
    CompletionReply,
    Timing,
    Usage,
)
from sarathid.server.token_words import TokenWords


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyHead:
    """What all events of one reply share; the fingerprint names the program and the model that answered.

    Token ids, logarithms of probability, and usage in a stream are told where the client asked.
    """

    id: str
    created: int
    model: str
    system_fingerprint: str
    tells_token_ids: bool
    tells_logprobs: bool
    tells_usage: bool

    @property
    def fields(self) -> dict[str, Any]:
        """What every reply and every event begins with."""
        return {
            "id": self.id,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.system_fingerprint,
        }

    def choice_fields(self, news: AnswerDelta, *, is_first: bool) -> dict[str, Any]:
        """Return what a choice of either kind has: the prompt's token ids in the first, the timing in the last."""
        delta = news.delta
        fields: dict[str, Any] = {"index": news.index, "finish_reason": delta.finish_reason}
        if self.tells_token_ids:
            fields["token_ids"] = delta.token_ids
            fields["prompt_token_ids"] = news.generation.prompt_token_ids if is_first else UNSET
        if delta.finish_reason is not None:
            fields["timing"] = timing_of(news)
        return fields


def timing_of(news: AnswerDelta) -> Timing | UnsetType:
    """Return what the engine measured of an answer, if it has begun."""
    measured = news.generation.timing
    if measured.ttft_s is None:
        return UNSET
    return Timing(
        ttft_s=measured.ttft_s,
        tbt_p50_s=measured.tbt_p50_s,
        tbt_max_s=measured.tbt_max_s,
        num_stalls=measured.num_stalls,
    )


class ReplyFormat(Protocol):
    """One endpoint's way to say it, as JSON."""

    def event(self, news: AnswerDelta, *, is_first: bool, usage: Usage | None) -> bytes:
        """Return an event, with what was used so far where that is to be told."""
        ...

    def usage_event(self, usage: Usage) -> bytes: ...

    def whole(self, answers: Sequence[AnswerDelta], usage: Usage) -> bytes:
        """Return a reply with answers that have come to their ends, each with all of its text in one delta."""
        ...


class CompletionFormat:
    """Replies of `/v1/completions`; with `echoes` each begins with its prompt, of which `text_of` gives the text."""

    def __init__(
        self, head: ReplyHead, words: TokenWords, text_of: Callable[[Sequence[int]], str], *, echoes: bool
    ) -> None:
        self._head = head
        self._words = words
        self._text_of = text_of
        self._echoes = echoes
        self._offsets: defaultdict[int, int] = defaultdict(int)
        empty = CompletionReply(**head.fields, choices=())
        self._envelope = EventEnvelope(empty, tells_usage=head.tells_usage)

    def event(self, news: AnswerDelta, *, is_first: bool, usage: Usage | None) -> bytes:
        return self._envelope.around(self._choice(news, is_first=is_first), usage)

    def usage_event(self, usage: Usage) -> bytes:
        return self._reply((), usage)

    def whole(self, answers: Sequence[AnswerDelta], usage: Usage) -> bytes:
        return self._reply(tuple(self._choice(answer, is_first=True) for answer in answers), usage)

    def _choice(self, news: AnswerDelta, *, is_first: bool) -> CompletionChoice:
        has_echo = self._echoes and is_first
        echo = self._text_of(news.generation.prompt_token_ids) if has_echo else ""
        return CompletionChoice(
            text=echo + news.delta.text,
            logprobs=self._logprobs(news, has_echo=has_echo) if self._head.tells_logprobs else None,
            **self._head.choice_fields(news, is_first=is_first),
        )

    def _logprobs(self, news: AnswerDelta, *, has_echo: bool) -> CompletionLogprobs:
        prompt = news.generation.prompt_token_ids if has_echo else ()
        token_ids = (*prompt, *news.delta.token_ids)
        first_offset = self._offsets[news.index]
        self._offsets[news.index] += sum(map(self._words.num_chars, token_ids))
        return completion_logprobs(
            self._words,
            token_ids,
            (*([None] if prompt else []), *(news.generation.prompt_logprobs if prompt else ()), *news.delta.logprobs),
            first_offset,
        )

    def _reply(self, choices: tuple[CompletionChoice, ...], usage: Usage) -> bytes:
        return msgspec.json.encode(CompletionReply(**self._head.fields, choices=choices, usage=usage))


class ChatFormat:
    """Replies of `/v1/chat/completions`."""

    def __init__(self, head: ReplyHead, words: TokenWords) -> None:
        self._head = head
        self._words = words
        self._envelope = EventEnvelope(ChatChunk(**head.fields, choices=()), tells_usage=head.tells_usage)

    def event(self, news: AnswerDelta, *, is_first: bool, usage: Usage | None) -> bytes:
        text = news.delta.text
        message = ChatDelta(role="assistant" if is_first else UNSET, content=text if text else UNSET)
        fields = self._head.choice_fields(news, is_first=is_first)
        return self._envelope.around(ChatChunkChoice(delta=message, logprobs=self._logprobs(news), **fields), usage)

    def usage_event(self, usage: Usage) -> bytes:
        return msgspec.json.encode(ChatChunk(**self._head.fields, choices=(), usage=usage))

    def whole(self, answers: Sequence[AnswerDelta], usage: Usage) -> bytes:
        choices = tuple(map(self._choice, answers))
        return msgspec.json.encode(ChatReply(**self._head.fields, choices=choices, usage=usage))

    def _choice(self, answer: AnswerDelta) -> ChatChoice:
        return ChatChoice(
            message=AssistantMessage(content=answer.delta.text),
            logprobs=self._logprobs(answer),
            **self._head.choice_fields(answer, is_first=True),
        )

    def _logprobs(self, news: AnswerDelta) -> ChatLogprobs | None:
        if not self._head.tells_logprobs:
            return None
        return chat_logprobs(self._words, news.delta.token_ids, news.delta.logprobs)
