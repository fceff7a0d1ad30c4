"""Collects what a run's iterations say about latency."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence

from sarathid.protocol.stats import IterationStats, RequestStats
from sarathid.protocol.step import StepOutput
from sarathid.workload import PlannedRequest


class Measurement:
    """The latencies of a run of `requests`, whose ids count them in order of arrival from 0.

    Their times count from `start_s`. TBTs are pooled over all tokens of all requests. A scheduling delay runs from
    arrival to the first chunk.
    """

    def __init__(self, requests: Sequence[PlannedRequest], start_s: float) -> None:
        self.requests = requests
        self.tbts_s = array("d")
        self.ttfts_s = array("d")
        self.delays_s = array("d")
        self.finished: list[RequestStats] = []
        self.num_refused = 0
        self.num_preemptions = 0
        self.num_iterations = 0
        self.num_prefill_tokens = 0
        self.busy_s = 0.0
        self.bubble_s = 0.0
        self.num_expected_tbts = sum([request.num_output_tokens - 1 for request in requests])
        self._arrivals_s = [start_s + request.arrival_s for request in requests]
        self._was_scheduled = bytearray(len(requests))

    @property
    def num_output_tokens(self) -> int:
        return len(self.tbts_s) + len(self.ttfts_s)

    @property
    def bubble_share(self) -> float:
        """Share of the stages' time, while there was work, that they waited."""
        stage_s = self.busy_s + self.bubble_s
        return self.bubble_s / stage_s if stage_s else 0.0

    @property
    def num_tbts_to_come(self) -> int:
        return self.num_expected_tbts - len(self.tbts_s)

    def observe(self, output: StepOutput) -> None:
        """Take in what one iteration gave."""
        self.finished.extend(output.finished)
        if output.stats is not None:
            self._observe_iteration(output.stats)

    def refuse(self, request_id: int) -> None:
        """Note that a request can never run: it has no latency, and it failed."""
        self.num_refused += 1
        self.num_expected_tbts -= self.requests[request_id].num_output_tokens - 1
        self._was_scheduled[request_id] = 1

    def waits_s(self, now_s: float) -> list[float]:
        """Return how long each request that has arrived and was never scheduled has waited by now."""
        num_arrived = bisect_left(self._arrivals_s, now_s)
        return [now_s - self._arrivals_s[i] for i in range(num_arrived) if not self._was_scheduled[i]]

    def num_to_arrive(self, now_s: float) -> int:
        return len(self._arrivals_s) - bisect_left(self._arrivals_s, now_s)

    def _observe_iteration(self, stats: IterationStats) -> None:
        self.num_iterations += 1
        self.num_preemptions += len(stats.preempted)
        self.tbts_s.extend([gap.tbt_s for gap in stats.gaps])
        self.ttfts_s.extend([first.ttft_s for first in stats.first_tokens])
        for stage in stats.stages:
            self.busy_s += stage.busy_s
            self.bubble_s += stage.bubble_s
        for chunk in stats.chunks:
            self.num_prefill_tokens += chunk.length
            if not self._was_scheduled[chunk.request_id]:
                self._was_scheduled[chunk.request_id] = 1
                self.delays_s.append(stats.start_s - self._arrivals_s[chunk.request_id])
