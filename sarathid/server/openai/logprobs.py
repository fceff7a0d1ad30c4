"""How likely tokens were, in the two shapes that OpenAI's clients expect."""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from sarathid.protocol.logprobs import TokenLogprobs
from sarathid.server.openai.schema import ChatLogprobs, ChatTokenLogprob, ChatTopLogprob, CompletionLogprobs
from sarathid.server.token_words import TokenWords


def completion_logprobs(
    words: TokenWords, token_ids: Sequence[int], logprobs: Iterable[TokenLogprobs | None], first_offset: int
) -> CompletionLogprobs:
    """Return those of `/v1/completions`, with the offsets of tokens in a text from `first_offset` on.

    The token itself is always among the likeliest. The first token of a text has none.
    """
    texts = [words.text(token_id) for token_id in token_ids]
    found = list(logprobs)
    return CompletionLogprobs(
        tokens=tuple(texts),
        token_logprobs=tuple(None if told is None else told.logprob for told in found),
        top_logprobs=tuple(
            None if told is None else {**_top(words, told), text: told.logprob}
            for text, told in zip(texts, found, strict=True)
        ),
        text_offset=tuple(accumulate(map(words.num_chars, token_ids[:-1]), initial=first_offset)) if texts else (),
    )


def chat_logprobs(words: TokenWords, token_ids: Sequence[int], logprobs: Iterable[TokenLogprobs]) -> ChatLogprobs:
    """Return those of `/v1/chat/completions`."""
    return ChatLogprobs(
        content=tuple(
            ChatTokenLogprob(
                token=words.text(token_id),
                logprob=told.logprob,
                bytes=tuple(words.bytes(token_id)),
                top_logprobs=tuple(
                    ChatTopLogprob(token=words.text(other), logprob=logprob, bytes=tuple(words.bytes(other)))
                    for other, logprob in zip(told.top_token_ids, told.top_logprobs, strict=True)
                ),
            )
            for token_id, told in zip(token_ids, logprobs, strict=True)
        )
    )


def _top(words: TokenWords, told: TokenLogprobs) -> dict[str, float]:
    """Return the likeliest tokens by their texts; of two that look alike, the likelier one."""
    pairs = zip(told.top_token_ids, told.top_logprobs, strict=True)
    return {words.text(token_id): logprob for token_id, logprob in reversed(list(pairs))}
