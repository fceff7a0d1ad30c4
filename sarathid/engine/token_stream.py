"""One request as the server sees it: its tokens as they come, and when they reached the client."""

import asyncio
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median_low
from typing import NamedTuple

import msgspec

from sarathid.protocol.control import RequestState, RequestStatus
from sarathid.protocol.logprobs import PromptLogprobs, TokenLogprobs
from sarathid.protocol.requests import FinishReason, Request
from sarathid.protocol.stats import ChunkStats, RequestStats
from sarathid.protocol.step import TokenDelta
from sarathid.telemetry.delivery import Delivery
from sarathid.telemetry.pauses import Pauses


class StreamTiming(NamedTuple):
    """Seconds from arrival to first token and between tokens, as the engine made them; None where there are none."""

    ttft_s: float | None
    tbt_p50_s: float | None
    tbt_max_s: float | None
    num_stalls: int


class _Made(msgspec.Struct, frozen=True, gc=False):
    """A delta, and when the engine made it."""

    delta: TokenDelta
    time_s: float


class TokenStream:
    """Its reader takes deltas as long as there are any, calls `mark_delivered` after each write and `close` at the end.

    What it does not take waits. The stream also mirrors the request's state in the engine, folded from iteration
    records, so that the daemon can say what a request does while the engine is busy, and can start it anew elsewhere.
    """

    def __init__(
        self,
        request: Request,
        on_close: Callable[["TokenStream", FinishReason], None],
        on_delivery: Callable[["TokenStream", float, Pauses], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now_s` tells the time.

        `on_delivery` hears of every token but the first when it was written, and in which pauses it could not be; it
        may ask for its `delivery`.
        """
        self.request = request
        self.output_token_ids: list[int] = []
        self.prompt_logprobs: list[TokenLogprobs] = []  # of the prompt's tokens from the second on
        self.finish_reason: FinishReason | None = None
        self.stats: RequestStats | None = None
        self.deadline: asyncio.TimerHandle | None = None
        self.is_closed = False
        self.on_news: Callable[[], None] = _ignore  # its reader's, called when there is something to take
        self.place = 0  # among the requests of its owner, the least first
        self.num_stalls = 0
        self.awaited_s = 0.0  # since when its reader could have had the next token
        self.num_engines_lost = 0  # since its last token, while they worked on it
        self._on_close = on_close
        self._on_delivery = on_delivery
        self._now_s = now_s
        self._untaken: deque[_Made] = deque()
        self._state = RequestState.WAITING
        self._num_computed_tokens = 0
        self._num_cached_tokens: int | None = None  # None until it first starts
        self._num_preemptions = 0
        self._ttft_s: float | None = None
        self._tbt_last_s: float | None = None
        self._tbt_max_s: float | None = None
        self._generated_s: float | None = None
        self._is_resumed = False
        self._is_at_work = False
        self._taken: _Made | None = None  # the newest, and the one before it
        self._taken_before: _Made | None = None
        self._is_awaited = False  # whether its reader is through with what it took
        self._delivered_s: float | None = None
        self._delivered_gaps_s = array("d")  # a token's part of the work is to be short: they are counted at the end
        self._gaps_s = array("d")

    @property
    def request_id(self) -> int:
        return self.request.request_id

    @property
    def prompt_token_ids(self) -> tuple[int, ...]:
        return self.request.prompt_token_ids

    @property
    def num_cached_tokens(self) -> int:
        """Tokens of the prompt that were in the prefix cache when it first started."""
        return self._num_cached_tokens or 0

    @property
    def timing(self) -> StreamTiming:
        """When its tokens came so far."""
        return StreamTiming(self._ttft_s, _median(self._gaps_s), self._tbt_max_s, self.num_stalls)

    @property
    def is_waiting(self) -> bool:
        return self._state is RequestState.WAITING and self.finish_reason is None

    @property
    def is_over(self) -> bool:
        """Whether it has ended and its reader has the end; its engine may still have to tell of it."""
        return self.is_closed and self.finish_reason is not None

    def take(self) -> TokenDelta | None:
        """Return the next delta, the last of which has a finish reason; None while there is none."""
        if not self._is_awaited:
            self.awaited_s = self._now_s()
            self._is_awaited = True
        if not self._untaken:
            return None
        self._taken_before, self._taken = self._taken, self._untaken.popleft()
        self._is_awaited = False
        return self._taken.delta

    def mark_delivered(self, now_s: float, unread: Pauses) -> None:
        """Note that the text of the deltas taken so far was written to the client's socket.

        Nothing could be written in `unread`, since the client did not read.
        """
        if self._delivered_s is not None:
            self._delivered_gaps_s.append(now_s - self._delivered_s)
        if self._taken is not None and self._taken_before is not None and self._taken.delta.token_id is not None:
            self._on_delivery(self, now_s, unread)
        self._delivered_s = self.awaited_s = now_s
        self._is_awaited = True

    def delivery(self, written_s: float, unread: Pauses) -> Delivery:
        """Return the way of the token that was taken last, which has another one before it, as it is delivered."""
        assert self._taken is not None
        assert self._taken_before is not None, "the first token has none before it"
        return Delivery(
            request_id=self.request_id,
            awaited_s=self.awaited_s,
            generated_s=self._taken.time_s,
            tbt_s=self._taken.time_s - self._taken_before.time_s,
            written_s=written_s,
            unread=unread,
        )

    def close(self, finish_reason: FinishReason = FinishReason.CANCELLED) -> None:
        """End the request for that reason if the engine has not ended it; its record is published once."""
        if not self.is_closed:
            self.is_closed = True
            self.on_news = _ignore
            self._on_close(self, finish_reason)

    def push(self, delta: TokenDelta, generated_s: float) -> float | None:
        """Take a delta in from the engine, made at `generated_s`; return the gap behind another engine's token.

        The reader is to be told, by `on_news`, once the streams have all that came with it.
        """
        restart_gap_s = None
        if delta.token_id is not None:
            gap_s = self._mark_token(generated_s)
            restart_gap_s = gap_s if self._is_resumed else None
            self._is_resumed = False
            self.num_engines_lost = 0
            self.output_token_ids.append(delta.token_id)
            self._state = RequestState.DECODE
            self._num_computed_tokens = len(self.request.prompt_token_ids) + len(self.output_token_ids) - 1
        if delta.finish_reason is not None:
            self.finish_reason = delta.finish_reason
        self._untaken.append(_Made(delta, generated_s))
        return restart_gap_s

    def push_prompt(self, prompt: PromptLogprobs) -> None:
        """Take in how likely tokens of the prompt were; what is known is not told again, by another engine say."""
        num_known = len(self.prompt_logprobs) - (prompt.first_position - 1)
        if num_known >= 0:
            self.prompt_logprobs += prompt.tokens[num_known:]

    def mark_scheduled(self, chunk: ChunkStats) -> None:
        """The engine is about to work on this."""
        self._is_at_work = True
        if self._num_cached_tokens is None:
            self._num_cached_tokens = chunk.num_cached_tokens

    def mark_chunk(self, chunk: ChunkStats) -> None:
        """The engine has computed this; behind the last chunk comes a token, which tells more."""
        if chunk.start + chunk.length < chunk.num_tokens:
            self._state = RequestState.PREFILL
            self._num_computed_tokens = chunk.start + chunk.length

    def mark_preempted(self) -> None:
        self._state = RequestState.PREEMPTED
        self._num_computed_tokens = 0
        self._num_preemptions += 1

    def mark_restarted(self) -> None:
        """The engine that computed this is gone."""
        self._state = RequestState.WAITING
        self._num_computed_tokens = 0
        self._is_resumed = True
        self.num_engines_lost += self._is_at_work
        self._is_at_work = False

    def resumed_request(self) -> Request:
        """Return the request for another engine, with the tokens that are already there."""
        sampling = self.request.sampling
        if len(self.prompt_logprobs) == len(self.prompt_token_ids) - 1:
            sampling = msgspec.structs.replace(sampling, prompt_logprobs=None)
        return msgspec.structs.replace(self.request, output_token_ids=tuple(self.output_token_ids), sampling=sampling)

    def status(self, now_s: float) -> RequestStatus:
        """Return what an operator sees of this request now."""
        return RequestStatus(
            request_id=self.request_id,
            state=self._state,
            client=self.request.client,
            age_s=now_s - self.request.arrival_s,
            num_prompt_tokens=len(self.prompt_token_ids),
            num_computed_tokens=self._num_computed_tokens,
            num_output_tokens=len(self.output_token_ids),
            max_tokens=self.request.sampling.max_tokens,
            ttft_s=self._ttft_s,
            tbt_last_s=self._tbt_last_s,
            tbt_max_s=self._tbt_max_s,
            num_stalls=self.num_stalls,
            num_preemptions=self._num_preemptions,
            num_cached_tokens=self.num_cached_tokens,
            owner=self.request.owner,
            priority=self.request.priority,
            place=self.place,
        )

    def final_stats(self, stats: RequestStats) -> RequestStats:
        """Return the engine's record of this request with what only this process knows.

        That is the delivered gaps, and what earlier engines did for it.
        """
        return msgspec.structs.replace(
            stats,
            first_token_s=None if self._ttft_s is None else self.request.arrival_s + self._ttft_s,
            num_preemptions=self._num_preemptions,
            num_stalls=self.num_stalls,
            tbt_max_s=self._tbt_max_s,
            num_cached_tokens=self.num_cached_tokens,
            delivered_tbt_p50_s=_median(self._delivered_gaps_s),
            delivered_tbt_max_s=max(self._delivered_gaps_s, default=None),
        )

    def _mark_token(self, generated_s: float) -> float | None:
        """Note when a token was made, and return the gap behind the one before, if there is one."""
        before_s, self._generated_s = self._generated_s, generated_s
        if before_s is None:
            self._ttft_s = generated_s - self.request.arrival_s
            return None
        gap_s = self._tbt_last_s = generated_s - before_s
        self._gaps_s.append(gap_s)
        if self._tbt_max_s is None or gap_s > self._tbt_max_s:
            self._tbt_max_s = gap_s
        return gap_s


def _median(seconds: Sequence[float]) -> float | None:
    return median_low(seconds) if seconds else None


def _ignore() -> None:
    """Be the reader that is not there yet, or not any more."""
