"""What a load generator saw of its requests, token by token, at its own end of the socket."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """Why a request was sent: to be frozen, to freeze, or as one of many alike."""

    STREAM = "stream"
    PROMPT = "prompt"
    REQUEST = "request"


@dataclass(slots=True)
class RequestTrace:
    """One request as its client saw it: when it was sent and when each token's bytes were read.

    Times are monotonic seconds. `failure` says why it did not finish, None if it did or was meant to be cut off.
    """

    role: Role
    index: int
    num_prompt_tokens: int
    sent_s: float
    token_times_s: list[float] = field(default_factory=list)
    is_finished: bool = False
    failure: str | None = None

    @property
    def name(self) -> str:
        return f"{self.role}-{self.index}"

    @property
    def ttft_s(self) -> float | None:
        """Seconds from sending to the first token, None before there is one."""
        return self.token_times_s[0] - self.sent_s if self.token_times_s else None

    def num_tokens(self, start_s: float, end_s: float) -> int:
        """Return how many tokens came in (`start_s`, `end_s`]."""
        return sum(start_s < time_s <= end_s for time_s in self.token_times_s)

    def tbts_s(self, start_s: float, end_s: float) -> Iterator[float]:
        """Yield the times between two tokens whose second one came in (`start_s`, `end_s`].

        A request that still waits for its next token at `end_s` counts with what it has waited, so
        that one that is starved to the end is not passed over.
        """
        for before_s, after_s in itertools.pairwise(self.token_times_s):
            if start_s < after_s <= end_s:
                yield after_s - before_s
        if self._is_waiting_at(end_s):
            yield end_s - max(time_s for time_s in self.token_times_s if time_s <= end_s)

    def _is_waiting_at(self, end_s: float) -> bool:
        has_begun = bool(self.token_times_s) and self.token_times_s[0] <= end_s
        return has_begun and not self.is_finished and self.failure is None


@dataclass(frozen=True, slots=True)
class LoadTrace:
    """Every request of one stretch of load; figures are taken from `start_s` to `end_s`."""

    start_s: float
    end_s: float
    requests: tuple[RequestTrace, ...]

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s

    def of(self, role: Role) -> Iterator[RequestTrace]:
        """Yield the requests that were sent for this reason."""
        return (request for request in self.requests if request.role is role)

    @property
    def failed(self) -> Iterator[RequestTrace]:
        """Yield the requests that did not finish, or not as asked."""
        return (request for request in self.requests if request.failure)
