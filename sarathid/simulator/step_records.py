"""What a simulated run tells, as records in their order: arrivals, iterations, stalls, ends."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import starmap

from sarathid.engine.core import EngineCore
from sarathid.protocol.stats import EngineInfo, RequestArrival, StreamRecord
from sarathid.protocol.step import StepOutput
from sarathid.telemetry.stalls import StallFinder
from sarathid.workload import PlannedRequest


class StepRecords:
    """Makes records of what a core's steps gave, and of the requests that came until then; those are counted from 0."""

    def __init__(self, requests: Sequence[PlannedRequest], core: EngineCore, engine: EngineInfo) -> None:
        self._core = core
        self._engine = engine
        self._stalls = StallFinder()
        self._arrivals = deque(starmap(_arrival, enumerate(requests)))

    def of(self, output: StepOutput) -> Iterator[StreamRecord]:
        """Yield the records of one step."""
        if output.stats is not None:
            while self._arrivals and self._arrivals[0].arrival_s <= output.stats.end_s:
                yield self._arrivals.popleft()
            yield output.stats
            target_s = self._core.settings.slo.tbt_s
            yield from self._stalls.of_iteration(output.stats, output.stats.gaps, target_s, self._engine)
        if output.overload is not None:
            yield output.overload
        yield from output.finished


def _arrival(request_id: int, request: PlannedRequest) -> RequestArrival:
    return RequestArrival(
        request_id=request_id,
        client="",
        arrival_s=request.arrival_s,
        num_prompt_tokens=request.num_prompt_tokens,
        max_tokens=request.num_output_tokens,
    )
