"""The requests that the daemon holds, kept by what records tell of them."""

from collections.abc import Iterable, Sequence
from copy import copy

from sarathid.protocol.control import RequestState, RequestStatus
from sarathid.protocol.stats import (
    ChunkStats,
    FirstToken,
    IterationScheduled,
    IterationStats,
    RequestArrival,
    StallEvent,
    TokenGap,
)
from sarathid.tape.key_frame import RequestRow as RequestRow
from sarathid.tape.key_frame import row_of


class RequestTable:
    """Rows by request id, in order of arrival."""

    def __init__(self, rows: Iterable[RequestRow] = ()) -> None:
        self._rows = {row.request_id: copy(row) for row in rows}

    @property
    def rows(self) -> tuple[RequestRow, ...]:
        """What is known of each request now."""
        return tuple(copy(self._rows[request_id]) for request_id in sorted(self._rows))

    def replace_all(self, requests: Iterable[RequestStatus], now_s: float) -> None:
        """Take over a list of all requests, asked for at `now_s`."""
        known = self._rows
        self._rows = {
            request.request_id: row_of(
                request, now_s, row.last_token_s if (row := known.get(request.request_id)) else None
            )
            for request in requests
        }

    def arrive(self, arrival: RequestArrival) -> None:
        """Add a request that waits now."""
        self._rows[arrival.request_id] = RequestRow(
            request_id=arrival.request_id,
            state=RequestState.WAITING,
            arrival_s=arrival.arrival_s,
            client=arrival.client,
            num_prompt_tokens=arrival.num_prompt_tokens,
            max_tokens=arrival.max_tokens,
            priority=arrival.priority,
        )

    def begin(self, scheduled: IterationScheduled) -> None:
        """Take note of who no longer waits, because an iteration that has begun computes a chunk of it."""
        for chunk in scheduled.chunks:
            if (row := self._rows.get(chunk.request_id)) is not None:
                row.state = RequestState.PREFILL

    def fold(self, iteration: IterationStats) -> None:
        """Advance the requests that took part in an iteration."""
        for chunk in iteration.chunks:
            self._take_chunk(chunk)
        for first in iteration.first_tokens:
            self._take_first_token(first, iteration.tokens_s)
        self._take_gaps(iteration.gaps, iteration.tokens_s)
        for request_id in iteration.preempted:
            self._preempt(request_id)
        for request_id in iteration.finished:
            self.drop(request_id)

    def count_stalls(self, stall: StallEvent) -> None:
        """Count one stall more for each of its victims."""
        for victim in stall.victims:
            if row := self._rows.get(victim.request_id):
                row.num_stalls += 1

    def drop(self, request_id: int) -> None:
        """Forget a request that ended."""
        self._rows.pop(request_id, None)

    def _take_chunk(self, chunk: ChunkStats) -> None:
        row = self._row(chunk.request_id)
        row.state = RequestState.PREFILL
        row.num_computed_tokens = chunk.start + chunk.length
        if row.num_prompt_tokens is None:
            row.num_prompt_tokens = chunk.num_tokens

    def _take_first_token(self, first: FirstToken, time_s: float) -> None:
        row = self._row(first.request_id)
        row.state = RequestState.DECODE
        row.num_output_tokens += 1
        row.ttft_s = first.ttft_s
        row.last_token_s = time_s

    def _take_gaps(self, gaps: Sequence[TokenGap], time_s: float) -> None:
        """Advance decodes by one token each: nothing else here is done as often."""
        rows, decode = self._rows, RequestState.DECODE
        for gap in gaps:
            row = rows.get(gap.request_id) or self._row(gap.request_id)
            tbt_s, longest_s = gap.tbt_s, row.tbt_max_s
            row.state = decode
            row.num_computed_tokens += 1
            row.num_output_tokens += 1
            row.last_token_s = time_s
            row.tbt_last_s = tbt_s
            if longest_s is None or tbt_s > longest_s:
                row.tbt_max_s = tbt_s

    def _preempt(self, request_id: int) -> None:
        row = self._row(request_id)
        row.state = RequestState.PREEMPTED
        row.num_computed_tokens = 0
        row.num_preemptions += 1

    def _row(self, request_id: int) -> RequestRow:
        row = self._rows.get(request_id)
        if row is None:
            row = self._rows[request_id] = RequestRow(request_id=request_id, state=RequestState.WAITING)
        return row
