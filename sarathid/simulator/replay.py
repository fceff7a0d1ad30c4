"""Feeds a list of requests to an engine core at their times, and collects what comes of it."""

from collections import deque
from collections.abc import Callable, Sequence

from sarathid.clock import Timer
from sarathid.engine.core import EngineCore
from sarathid.errors import RequestRefused
from sarathid.protocol.requests import Request, SamplingParams
from sarathid.protocol.step import StepOutput
from sarathid.simulator.measurement import Measurement
from sarathid.simulator.timed_change import TimedChange
from sarathid.workload import PlannedRequest

TOKEN_ID = 1  # every token of every prompt


class Replay:
    """One run, an iteration at a time; requests arrive, and settings change, counted from the moment of its making.

    `has_room_at` says of a moment to come whether a batch of what has arrived by then could join those in flight.
    """

    def __init__(
        self,
        core: EngineCore,
        clock: Timer,
        requests: Sequence[PlannedRequest],
        has_room_at: Callable[[float], bool] = lambda _: False,
        changes: Sequence[TimedChange] = (),
    ) -> None:
        self._core = core
        self._clock = clock
        self._start_s = clock.now_s()
        self._requests = requests
        self._has_room_at = has_room_at
        self._changes = deque(changes)
        self._num_arrived = 0
        self.measured = Measurement(requests, self._start_s)

    @property
    def now_s(self) -> float:
        return self._clock.now_s()

    def step(self) -> StepOutput | None:
        """Run one iteration, at the next arrival if there is nothing to do now; None when all is done."""
        self._launch()
        while self._is_worth_waiting_for_arrival():
            self._clock.wait_until(self._next_arrival_s())
            self._launch()
        output = self._core.collect()
        if output is not None:
            self.measured.observe(output)
        return output

    def _launch(self) -> None:
        """Hand over all that can run of what has arrived."""
        self._take_in_changes()
        self._take_in_arrivals()
        while self._core.launch() is not None:
            pass

    def _is_worth_waiting_for_arrival(self) -> bool:
        """Whether the next arrival comes to an engine without work, or in time for a pipeline that is not full."""
        if self._num_arrived == len(self._requests):
            return False
        return not self._core.has_work or self._has_room_at(self._next_arrival_s())

    def _next_arrival_s(self) -> float:
        return self._start_s + self._requests[self._num_arrived].arrival_s

    def _take_in_changes(self) -> None:
        while self._changes and self._start_s + self._changes[0].at_s <= self._clock.now_s():
            self._core.change_settings(self._changes.popleft().change)

    def _take_in_arrivals(self) -> None:
        now_s = self._clock.now_s()
        while self._num_arrived < len(self._requests) and self._next_arrival_s() <= now_s:
            try:
                self._core.add(self._request(self._num_arrived))
            except RequestRefused:
                self.measured.refuse(self._num_arrived)
            self._num_arrived += 1

    def _request(self, request_id: int) -> Request:
        planned = self._requests[request_id]
        return Request(
            request_id=request_id,
            prompt_token_ids=(TOKEN_ID,) * planned.num_prompt_tokens,
            sampling=SamplingParams(max_tokens=planned.num_output_tokens, temperature=0.0, ignore_eos=True),
            arrival_s=self._start_s + planned.arrival_s,
        )
