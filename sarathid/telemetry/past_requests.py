"""The latest requests that ended, in memory that is taken at once, so that it does not grow for hours."""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_RECORD = struct.Struct("=ddd?II")  # 33 bytes, where objects take over 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRequest:
    """A request as it came and went, in monotonic seconds; one that has not ended ends at infinity.

    The `num_prompt_tokens` are those that had to be computed.
    """

    arrival_s: float
    first_token_s: float | None
    ended_s: float
    num_prompt_tokens: int
    num_output_tokens: int

    @classmethod
    def unfinished(
        cls,
        *,
        arrival_s: float,
        ttft_s: float | None,
        num_prompt_tokens: int,
        num_cached_tokens: int,
        max_tokens: int | None,
        max_model_len: int,
    ) -> "PastRequest":
        """Return a request that has not ended, as long as it may become."""
        room = max_model_len - num_prompt_tokens
        return cls(
            arrival_s=arrival_s,
            first_token_s=None if ttft_s is None else arrival_s + ttft_s,
            ended_s=math.inf,
            num_prompt_tokens=num_prompt_tokens - num_cached_tokens,
            num_output_tokens=max(1, room if max_tokens is None else min(max_tokens, room)),
        )


class PastRequests:
    """A ring of at most `most` requests, iterated from the oldest on."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._room = bytearray(b"\0") * (most * _RECORD.size)  # written, not just reserved: it is resident from now on
        self._num_added = 0

    def __len__(self) -> int:
        return min(self._num_added, self._most)

    def __iter__(self) -> Iterator[PastRequest]:
        for number in range(self._num_added - len(self), self._num_added):
            yield self._read(number)

    @property
    def is_full(self) -> bool:
        """Whether the next one takes the place of the oldest."""
        return len(self) == self._most

    @property
    def oldest(self) -> PastRequest:
        """The one that was added first; there must be one."""
        return self._read(self._num_added - len(self))

    def add(self, request: PastRequest) -> None:
        """Take in one that ended."""
        first_token_s = request.first_token_s
        _RECORD.pack_into(
            self._room,
            self._place(self._num_added),
            request.arrival_s,
            0.0 if first_token_s is None else first_token_s,
            request.ended_s,
            first_token_s is not None,
            request.num_prompt_tokens,
            request.num_output_tokens,
        )
        self._num_added += 1

    def clear(self) -> None:
        """Forget all of them."""
        self._num_added = 0

    def _read(self, number: int) -> PastRequest:
        arrival_s, first_token_s, ended_s, has_token, num_prompt_tokens, num_output_tokens = _RECORD.unpack_from(
            self._room, self._place(number)
        )
        return PastRequest(
            arrival_s=arrival_s,
            first_token_s=first_token_s if has_token else None,
            ended_s=ended_s,
            num_prompt_tokens=num_prompt_tokens,
            num_output_tokens=num_output_tokens,
        )

    def _place(self, number: int) -> int:
        return number % self._most * _RECORD.size
