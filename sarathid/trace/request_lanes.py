"""The lanes of requests in a trace: how each one waited, was computed chunk by chunk, and decoded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sarathid.protocol.control import RequestState
from sarathid.protocol.stats import ChunkStats, IterationStats, RequestArrival, RequestStats, StallEvent, TokenGap
from sarathid.tape.key_frame import KeyFrame, RequestRow
from sarathid.trace.track_events import Order, TrackEventFile

_SLICES = {
    RequestState.WAITING: "queue",
    RequestState.PREFILL: "prefill",
    RequestState.DECODE: "decode",
    RequestState.PREEMPTED: "preempted",
}
_TOLERANCE_S = 5e-6  # ends of a gap are rounded each on its own


@dataclass(slots=True)
class _Lane:
    """A request's lane, the state whose slice is open in it, and when it came (None if unknown) and last got on."""

    lane: int
    state: RequestState
    arrival_s: float | None
    newest_s: float


class RequestLanes:
    """One lane a request, begun when it comes and ended with it."""

    def __init__(self, file: TrackEventFile) -> None:
        self._file = file
        self._group = file.add_group("requests", Order.CHRONOLOGICAL)
        self._lanes: dict[int, _Lane] = {}
        self._standing: frozenset[int] = frozenset()

    def stand(self, key: KeyFrame) -> None:
        """Begin the lanes of requests that are there and that nothing told of before."""
        self._standing = frozenset(row.request_id for row in key.requests)
        for row in key.requests:
            if row.request_id not in self._lanes:
                self._begin(row, key.time_s)

    def arrive(self, arrival: RequestArrival) -> None:
        """Begin the lane of a request that waits now; another one of that number was of a daemon that is gone."""
        known = self._lanes.get(arrival.request_id)
        if known is not None and known.arrival_s == arrival.arrival_s:
            return
        self._leave(arrival.request_id)
        row = RequestRow(
            request_id=arrival.request_id,
            state=RequestState.WAITING,
            arrival_s=arrival.arrival_s,
            client=arrival.client,
            num_prompt_tokens=arrival.num_prompt_tokens,
            max_tokens=arrival.max_tokens,
        )
        self._begin(row, arrival.arrival_s)

    def preempt(self, request_ids: Iterable[int], time_s: float) -> None:
        """Show that requests lost their blocks."""
        for request_id in request_ids:
            self._turn(request_id, RequestState.PREEMPTED, time_s)

    def compute(self, iteration: IterationStats, chunk: ChunkStats, arrows: Sequence[int]) -> None:
        """Show a chunk, at which stalls may point."""
        start_s = iteration.start_s + iteration.schedule_s
        lane = self._turn(chunk.request_id, RequestState.PREFILL, start_s)
        until = chunk.start + chunk.length
        name = f"tokens {chunk.start} to {until} of {chunk.num_tokens}"
        facts = {"iteration": iteration.sequence_number, "tokens": chunk.length}
        self._file.add_slice(lane.lane, start_s, iteration.tokens_s, name, facts, arrows)

    def decode(self, request_ids: Iterable[int], time_s: float) -> None:
        """Show that requests got a token."""
        for request_id in request_ids:
            self._turn(request_id, RequestState.DECODE, time_s).newest_s = time_s

    def stall(self, stall: StallEvent, victim: TokenGap, end_s: float, arrow: int) -> None:
        """Show how long a request waited for a token, with an arrow to what it waited for.

        Where the lane shows what it went through meanwhile, a moment stands for it.
        """
        lane = self._lanes.get(victim.request_id)
        if lane is None:
            return
        name = f"stall {victim.tbt_s * 1e3:.0f} ms"
        facts = {"cause": stall.cause.value, "target_ms": stall.target_s * 1e3, "iteration": stall.iteration}
        begun_s = end_s - victim.tbt_s
        if lane.state is RequestState.DECODE and self._file.newest_s(lane.lane) <= begun_s + _TOLERANCE_S:
            self._file.add_slice(lane.lane, begun_s, end_s, name, facts, (arrow,))
        else:
            self._file.mark(lane.lane, end_s, name, facts, (arrow,))

    def end(self, stats: RequestStats) -> None:
        """End a lane, and say what the request came to."""
        lane = self._lanes.pop(stats.request_id, None)
        if lane is None:
            return
        self._file.end(lane.lane, stats.finished_s)
        facts = {
            "prompt_tokens": stats.num_prompt_tokens,
            "cached_tokens": stats.num_cached_tokens,
            "output_tokens": stats.num_output_tokens,
            "preemptions": stats.num_preemptions,
            "stalls": stats.num_stalls,
            "ttft_ms": _ms(stats.ttft_s),
            "tbt_max_ms": _ms(stats.tbt_max_s),
        }
        self._file.mark(lane.lane, stats.finished_s, f"ended: {stats.finish_reason}", facts)

    def close(self, time_s: float) -> None:
        """End all lanes: at `time_s` those that were there at the last look, the others with their last token."""
        for request_id in list(self._lanes):
            self._leave(request_id, time_s if request_id in self._standing else None)

    def _begin(self, row: RequestRow, time_s: float) -> _Lane:
        name = f"request {row.request_id}" + (f" of {row.client}" if row.client else "")
        lane = _Lane(self._file.add_lane(name, self._group), row.state, row.arrival_s, time_s)
        self._lanes[row.request_id] = lane
        facts = {"prompt_tokens": row.num_prompt_tokens, "max_tokens": row.max_tokens}
        self._file.begin(lane.lane, time_s, _SLICES[row.state], facts)
        return lane

    def _turn(self, request_id: int, state: RequestState, time_s: float) -> _Lane:
        """Return a request's lane, in which the slice of a state is open."""
        lane = self._lanes.get(request_id)
        if lane is None:
            return self._begin(RequestRow(request_id=request_id, state=state), time_s)
        if lane.state is not state:
            lane.state = state
            self._file.end(lane.lane, time_s)
            self._file.begin(lane.lane, time_s, _SLICES[state])
        return lane

    def _leave(self, request_id: int, time_s: float | None = None) -> None:
        lane = self._lanes.pop(request_id, None)
        if lane is not None:
            self._file.end(lane.lane, lane.newest_s if time_s is None else time_s)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
