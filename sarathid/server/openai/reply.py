"""What goes back to a client: the same text as a completion or as a chat, whole or in events."""

from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import UNSET

from sarathid.protocol.requests import FinishReason
from sarathid.server.generation import TextDelta
from sarathid.server.openai.schema import (
    AssistantMessage,
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatDelta,
    ChatReply,
    CompletionChoice,
    CompletionReply,
    Usage,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyHead:
    """What all events of one reply share; the fingerprint names the program and the model that answered.

    `prompt_token_ids` is None unless the client asked for token ids.
    """

    id: str
    created: int
    model: str
    system_fingerprint: str
    prompt_token_ids: tuple[int, ...] | None

    @property
    def fields(self) -> dict[str, Any]:
        """What every reply and every event begins with."""
        return {
            "id": self.id,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.system_fingerprint,
        }

    def token_fields(self, token_ids: tuple[int, ...], *, is_first: bool) -> dict[str, Any]:
        """Return the fields of a choice that hold token ids; the prompt's come with the first one."""
        if self.prompt_token_ids is None:
            return {}
        return {"token_ids": token_ids, "prompt_token_ids": self.prompt_token_ids if is_first else UNSET}


class ReplyFormat(Protocol):
    """One endpoint's way to say it; every method returns a struct to be sent as JSON."""

    def event(self, delta: TextDelta, *, is_first: bool) -> Any: ...

    def usage_event(self, usage: Usage) -> Any: ...

    def whole(self, text: str, token_ids: tuple[int, ...], finish_reason: FinishReason, usage: Usage) -> Any: ...


class CompletionFormat:
    """Replies of `/v1/completions`."""

    def __init__(self, head: ReplyHead) -> None:
        self._head = head

    def event(self, delta: TextDelta, *, is_first: bool) -> CompletionReply:
        tokens = self._head.token_fields(delta.token_ids, is_first=is_first)
        return self._reply((CompletionChoice(text=delta.text, finish_reason=delta.finish_reason, **tokens),))

    def usage_event(self, usage: Usage) -> CompletionReply:
        return self._reply((), usage)

    def whole(
        self, text: str, token_ids: tuple[int, ...], finish_reason: FinishReason, usage: Usage
    ) -> CompletionReply:
        tokens = self._head.token_fields(token_ids, is_first=True)
        return self._reply((CompletionChoice(text=text, finish_reason=finish_reason, **tokens),), usage)

    def _reply(self, choices: tuple[CompletionChoice, ...], usage: Usage | None = None) -> CompletionReply:
        return CompletionReply(
            **self._head.fields,
            choices=choices,
            usage=UNSET if usage is None else usage,
        )


class ChatFormat:
    """Replies of `/v1/chat/completions`."""

    def __init__(self, head: ReplyHead) -> None:
        self._head = head

    def event(self, delta: TextDelta, *, is_first: bool) -> ChatChunk:
        tokens = self._head.token_fields(delta.token_ids, is_first=is_first)
        message = ChatDelta(role="assistant" if is_first else UNSET, content=delta.text if delta.text else UNSET)
        return self._chunk((ChatChunkChoice(delta=message, finish_reason=delta.finish_reason, **tokens),))

    def usage_event(self, usage: Usage) -> ChatChunk:
        return self._chunk((), usage)

    def whole(self, text: str, token_ids: tuple[int, ...], finish_reason: FinishReason, usage: Usage) -> ChatReply:
        head = self._head
        tokens = head.token_fields(token_ids, is_first=True)
        choice = ChatChoice(message=AssistantMessage(content=text), finish_reason=finish_reason, **tokens)
        return ChatReply(
            **head.fields,
            choices=(choice,),
            usage=usage,
        )

    def _chunk(self, choices: tuple[ChatChunkChoice, ...], usage: Usage | None = None) -> ChatChunk:
        return ChatChunk(
            **self._head.fields,
            choices=choices,
            usage=UNSET if usage is None else usage,
        )
