"""The requests that the daemon holds, kept by what records tell of them."""

from collections.abc import Iterable

from msgspec.structs import replace

from sarathid.protocol.control import RequestState, RequestStatus
from sarathid.protocol.stats import ChunkStats, FirstToken, IterationStats, RequestArrival, StallEvent, TokenGap
from sarathid.tape.key_frame import RequestRow as RequestRow
from sarathid.tape.key_frame import row_of


class RequestTable:
    """Rows by request id, in order of arrival."""

    def __init__(self) -> None:
        self._rows: dict[int, RequestRow] = {}

    @property
    def rows(self) -> tuple[RequestRow, ...]:
        return tuple(self._rows[request_id] for request_id in sorted(self._rows))

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
        )

    def fold(self, iteration: IterationStats) -> None:
        """Advance the requests that took part in an iteration."""
        for chunk in iteration.chunks:
            self._take_chunk(chunk)
        for first in iteration.first_tokens:
            self._take_first_token(first, iteration.end_s)
        for gap in iteration.gaps:
            self._take_gap(gap, iteration.end_s)
        for request_id in iteration.preempted:
            self._preempt(request_id)
        for request_id in iteration.finished:
            self.drop(request_id)

    def count_stalls(self, stall: StallEvent) -> None:
        """Count one stall more for each of its victims."""
        for victim in stall.victims:
            if row := self._rows.get(victim.request_id):
                self._rows[victim.request_id] = replace(row, num_stalls=row.num_stalls + 1)

    def drop(self, request_id: int) -> None:
        """Forget a request that ended."""
        self._rows.pop(request_id, None)

    def _take_chunk(self, chunk: ChunkStats) -> None:
        row = self._row(chunk.request_id)
        self._rows[chunk.request_id] = replace(
            row,
            state=RequestState.PREFILL,
            num_prompt_tokens=chunk.num_tokens if row.num_prompt_tokens is None else row.num_prompt_tokens,
            num_computed_tokens=chunk.start + chunk.length,
        )

    def _take_first_token(self, first: FirstToken, time_s: float) -> None:
        row = self._row(first.request_id)
        self._rows[first.request_id] = replace(
            row,
            state=RequestState.DECODE,
            num_output_tokens=row.num_output_tokens + 1,
            ttft_s=first.ttft_s,
            last_token_s=time_s,
        )

    def _take_gap(self, gap: TokenGap, time_s: float) -> None:
        row = self._row(gap.request_id)
        self._rows[gap.request_id] = replace(
            row,
            state=RequestState.DECODE,
            num_computed_tokens=row.num_computed_tokens + 1,
            num_output_tokens=row.num_output_tokens + 1,
            last_token_s=time_s,
            tbt_last_s=gap.tbt_s,
            tbt_max_s=max(gap.tbt_s, row.tbt_max_s or 0.0),
        )

    def _preempt(self, request_id: int) -> None:
        row = self._row(request_id)
        self._rows[request_id] = replace(
            row, state=RequestState.PREEMPTED, num_computed_tokens=0, num_preemptions=row.num_preemptions + 1
        )

    def _row(self, request_id: int) -> RequestRow:
        return self._rows.get(request_id) or RequestRow(request_id=request_id, state=RequestState.WAITING)
