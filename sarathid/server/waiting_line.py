"""What a waiting request waits for, and when it may start: arithmetic over the line and the rates of service."""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heapreplace

from sarathid.protocol.control import RequestState, RequestStatus
from sarathid.protocol.stats import Blocker, EngineInfo, IterationStats
from sarathid.protocol.why import ServiceRates, StartPromise, WaitReasons

RUNNING = (RequestState.PREFILL, RequestState.DECODE)


class WaitingLine:
    """The requests that wait, in order, behind those that run; `last` is the latest iteration, if there was one.

    `deficits` are the tokens that each owner who waits is owed, empty while only one has requests.
    """

    def __init__(
        self,
        requests: Sequence[RequestStatus],
        engine: EngineInfo,
        last: IterationStats | None,
        rates: ServiceRates,
        deficits: Mapping[str, int] | None = None,
    ) -> None:
        """Take all requests, oldest first."""
        self._running = [request for request in requests if request.state in RUNNING]
        self._deficits = dict(deficits or {})
        self._waiting = in_turns([request for request in requests if request.state not in RUNNING], self._deficits)
        self._engine = engine
        self._last = last
        self._rates = rates

    def starts_in_s(self, request_id: int) -> float | None:
        """Return in how many seconds a waiting request is expected to start; None where the rates don't tell."""
        position = self._position(request_id)
        longest_s = max(self._prefill_s(self._num_tokens_ahead(position)), self._ends_s(self._num_ends_ahead(position)))
        return None if longest_s == math.inf else longest_s

    def reasons(self, request_id: int, promise: StartPromise | None) -> WaitReasons:
        """Return what a waiting request waits for."""
        position, head = self._position(request_id), self._waiting[0]
        return WaitReasons(
            position=position,
            num_waiting=len(self._waiting),
            head=head,
            blocked_by=self._blocked_by,
            num_running=len(self._running),
            num_blocks_free=self._num_blocks_free,
            num_blocks_promised=self._num_blocks_promised,
            num_blocks_needed=self._blocks_of(head),
            num_tokens_ahead=self._num_tokens_ahead(position),
            num_ends_ahead=self._num_ends_ahead(position),
            rates=self._rates,
            starts_in_s=self.starts_in_s(request_id),
            promise=promise,
            deficits=self._deficits,
        )

    @property
    def _blocked_by(self) -> Blocker | None:
        return None if self._last is None else self._last.blocked_by

    @property
    def _num_blocks_free(self) -> int:
        return self._last.num_blocks_free if self._last is not None and self._running else self._engine.num_blocks

    @property
    def _num_blocks_promised(self) -> int:
        """The blocks that prompts which run have yet to take."""
        prompts = [request for request in self._running if request.state is RequestState.PREFILL]
        return sum(self._blocks_of(prompt) - self._blocks(prompt.num_computed_tokens) for prompt in prompts)

    def _position(self, request_id: int) -> int:
        return 1 + next(index for index, waiting in enumerate(self._waiting) if waiting.request_id == request_id)

    def _num_tokens_ahead(self, position: int) -> int:
        return sum(_num_uncomputed(request) for request in (*self._running, *self._waiting[: position - 1]))

    def _num_ends_ahead(self, position: int) -> int:
        """Return how many requests have to end before, for a place, for blocks, or for time beside the decodes."""
        num_for_places = len(self._running) + position - self._engine.max_num_seqs
        num_for_time = position if self._blocked_by is Blocker.HOLD else 0
        return max(0, num_for_places, num_for_time, self._num_ends_for_blocks(position)) if self._running else 0

    def _num_ends_for_blocks(self, position: int) -> int:
        if not self._running:
            return 0
        num_wanted = sum(map(self._blocks_of, self._waiting[:position])) + self._num_blocks_promised
        num_missing = num_wanted + self._engine.num_watermark_blocks - self._num_blocks_free
        num_held_by_each = max(1.0, (self._engine.num_blocks - self._num_blocks_free) / len(self._running))
        return math.ceil(num_missing / num_held_by_each)

    def _prefill_s(self, num_tokens: int) -> float:
        if not num_tokens:
            return 0.0
        rate = self._rates.prefill_tokens_per_s
        return num_tokens / rate if rate else math.inf

    def _ends_s(self, num_ends: int) -> float:
        """Return after how long so many will have ended: at the rate at which they do, or by their limits if sooner."""
        by_rate_s = num_ends / self._rates.ends_per_s if self._rates.ends_per_s else math.inf
        return min(by_rate_s, self._ends_by_limits_s(num_ends)) if num_ends else 0.0

    def _ends_by_limits_s(self, num_ends: int) -> float:
        """Return when the last of so many ends by its limit, where the first that waits follows each that ends."""
        ends_s = list(map(self._longest_s, self._running))
        heapify(ends_s)
        for successor in self._waiting[: num_ends - 1]:
            heapreplace(ends_s, ends_s[0] + self._longest_s(successor))
        return ends_s[0]

    def _longest_s(self, request: RequestStatus) -> float:
        """Return how long a request that runs from now on takes to reach the most tokens that it may have."""
        if request.max_tokens is None or self._rates.tbt_s is None:
            return math.inf
        num_left = request.max_tokens - request.num_output_tokens
        return self._prefill_s(_num_uncomputed(request)) + num_left * self._rates.tbt_s

    def _blocks_of(self, request: RequestStatus) -> int:
        return self._blocks(request.num_prompt_tokens + request.num_output_tokens)

    def _blocks(self, num_tokens: int) -> int:
        return math.ceil(num_tokens / self._engine.block_size)


def in_turns(waiting: Sequence[RequestStatus], deficits: Mapping[str, int]) -> list[RequestStatus]:
    """Return those who wait in the order in which they are to start, as far as it is known now.

    Those that have run before come first. Then owners take turns: whoever had the fewest tokens, once the prompts
    before are computed.
    """
    resumed = [request for request in waiting if request.state is RequestState.PREEMPTED]
    lines: dict[str, deque[RequestStatus]] = {}
    for request in sorted(waiting, key=lambda request: request.place):
        if request.state is not RequestState.PREEMPTED:
            lines.setdefault(request.owner, deque()).append(request)
    return [*resumed, *_turns(lines, {owner: -deficits.get(owner, 0) for owner in lines})]


def _turns(lines: dict[str, deque[RequestStatus]], charged: dict[str, int]) -> Iterator[RequestStatus]:
    while lines:
        owner = min(lines, key=lambda owner: (charged[owner], lines[owner][0].request_id))
        request = lines[owner].popleft()
        charged[owner] += _num_uncomputed(request)
        if not lines[owner]:
            del lines[owner]
        yield request


def _num_uncomputed(request: RequestStatus) -> int:
    """Return the tokens that a request must have computed before it decodes."""
    if request.state is RequestState.DECODE:
        return 0
    return request.num_prompt_tokens + request.num_output_tokens - request.num_computed_tokens
