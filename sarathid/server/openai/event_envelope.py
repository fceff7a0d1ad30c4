"""What is the same in all events of a streamed reply, encoded once."""

import msgspec

from sarathid.server.openai.schema import ChatChunk, CompletionReply, Usage

_NO_CHOICES = b'"choices":[]'  # in no string: JSON escapes the quotes of those
_CHOICES = b'"choices":['


class EventEnvelope:
    """Makes the bytes of an event of a choice, as if the event were encoded as a whole."""

    def __init__(self, empty: CompletionReply | ChatChunk, *, tells_usage: bool) -> None:
        """`empty` is an event without choices and without usage, the last of its fields; it may be told to be null."""
        before, after = msgspec.json.encode(empty).split(_NO_CHOICES)
        self._before = before + _CHOICES
        self._after = b"]" + after.removesuffix(b"}")
        self._end = self._after + (b',"usage":null}' if tells_usage else b"}")

    def around(self, choice: msgspec.Struct, usage: Usage | None) -> bytes:
        """Return the event of a choice, with what was used where that is to be told."""
        if usage is None:
            return b"".join((self._before, msgspec.json.encode(choice), self._end))
        told = b'%b,"usage":%b}' % (self._after, msgspec.json.encode(usage))
        return b"".join((self._before, msgspec.json.encode(choice), told))
