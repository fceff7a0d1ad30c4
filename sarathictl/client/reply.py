"""One streamed answer of the model: its text as it comes, and how it came."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sarathictl.client.api import TimedEvent
from sarathictl.client.http_response import JSONObject
from sarathid.histogram import LatencyHistogram


@dataclass(slots=True)
class Reply:
    """What is known of an answer so far, as this client saw it.

    `gaps` are between two pieces of text as they were read from the socket; a piece is a token, or
    several where a character or a stop string spans them.
    """

    asked_s: float
    text: str = ""
    num_pieces: int = 0
    first_piece_s: float | None = None
    last_piece_s: float | None = None
    finish_reason: str | None = None
    num_output_tokens: int | None = None
    gaps: LatencyHistogram = field(default_factory=LatencyHistogram)

    @property
    def ttft_s(self) -> float | None:
        """Seconds from asking to the first piece; None before it."""
        return None if self.first_piece_s is None else self.first_piece_s - self.asked_s

    def read(self, events: Iterator[TimedEvent]) -> Iterator[str]:
        """Yield the pieces of text in `events` (a completion's or a chat completion's) as they come."""
        for time_s, event in events:
            if usage := event.get("usage"):
                self.num_output_tokens = usage["completion_tokens"]
            for choice in event.get("choices", ()):
                self.finish_reason = choice.get("finish_reason") or self.finish_reason
                if piece := _text_of(choice):
                    self._take(time_s, piece)
                    yield piece

    def _take(self, time_s: float, piece: str) -> None:
        if self.last_piece_s is None:
            self.first_piece_s = time_s
        else:
            self.gaps.record(time_s - self.last_piece_s)
        self.last_piece_s = time_s
        self.num_pieces += 1
        self.text += piece


def _text_of(choice: JSONObject) -> str:
    delta = choice.get("delta") or {}
    return choice.get("text") or delta.get("content") or ""
