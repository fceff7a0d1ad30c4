"""What a simulated run came to: percentiles, throughput and waste, as numbers and as text."""

import math
from collections.abc import Sequence

import msgspec

from sarathid.costmodel.cost_profile import CostProfile
from sarathid.protocol.changes import Figures
from sarathid.protocol.slo import BudgetChoice
from sarathid.protocol.stats import RequestStats
from sarathid.simulator.measurement import Measurement
from sarathid.simulator.serving import Serving

CSV_COLUMNS = (
    "request_id",
    "arrival_s",
    "scheduled_s",
    "first_token_s",
    "finished_s",
    "num_prompt_tokens",
    "num_output_tokens",
    "num_preemptions",
    "num_recomputed_tokens",
    "tbt_max_s",
)


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles in seconds; None without a sample."""

    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None

    @classmethod
    def of(cls, samples_s: Sequence[float], num_missing: int = 0) -> "Latency":
        """Return the percentiles of `samples_s` and of `num_missing` more that count as zero."""
        ordered = sorted(samples_s)

        def percentile(share: float) -> float | None:
            rank = math.ceil(share * (len(ordered) + num_missing)) - num_missing
            if not ordered:
                return None
            return ordered[rank - 1] if rank > 0 else 0.0

        return cls(p50=percentile(0.5), p90=percentile(0.9), p99=percentile(0.99), max=percentile(1.0))


class SimulationReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Unless it `is_complete`, latencies are lower bounds: what was still to come counts as zero.

    `num_failed` counts requests that were refused or did not finish. The makespan begins with the first arrival.
    A bubble is a pipeline stage's idle time while there is work, summed over stages. `window` tells of a part of
    the run, if one was asked for; what it has is whole.
    """

    profile: str
    policy: str
    token_budget: BudgetChoice
    num_requests: int
    num_finished: int
    num_failed: int
    is_complete: bool
    ttft_s: Latency
    tbt_s: Latency
    scheduling_delay_s: Latency
    requests_per_s: float
    output_tokens_per_s: float
    num_preemptions: int
    num_iterations: int
    num_prefill_tokens: int
    num_output_tokens: int
    makespan_s: float
    bubble_s: float
    bubble_share: float
    window: Figures | None = None

    @property
    def tbt_p99_s(self) -> float | None:
        return self.tbt_s.p99

    @property
    def scheduling_delay_p50_s(self) -> float | None:
        return self.scheduling_delay_s.p50


def report(
    profile: CostProfile,
    serving: Serving,
    measured: Measurement,
    now_s: float,
    window: Figures | None = None,
) -> SimulationReport:
    """Return the report of a run that has come to `now_s`."""
    num_requests, num_finished = len(measured.requests), len(measured.finished)
    makespan_s = max(0.0, now_s - measured.requests[0].arrival_s)
    return SimulationReport(
        profile=profile.name,
        policy=serving.policy,
        token_budget=serving.token_budget,
        num_requests=num_requests,
        num_finished=num_finished,
        num_failed=num_requests - num_finished,
        is_complete=num_finished + measured.num_refused == num_requests,
        ttft_s=Latency.of(measured.ttfts_s),
        tbt_s=Latency.of(measured.tbts_s, measured.num_tbts_to_come),
        scheduling_delay_s=Latency.of([*measured.delays_s, *measured.waits_s(now_s)], measured.num_to_arrive(now_s)),
        requests_per_s=num_finished / makespan_s if makespan_s else 0.0,
        output_tokens_per_s=measured.num_output_tokens / makespan_s if makespan_s else 0.0,
        num_preemptions=measured.num_preemptions,
        num_iterations=measured.num_iterations,
        num_prefill_tokens=measured.num_prefill_tokens,
        num_output_tokens=measured.num_output_tokens,
        makespan_s=makespan_s,
        bubble_s=measured.bubble_s,
        bubble_share=measured.bubble_share,
        window=window,
    )


def csv_row(stats: RequestStats) -> tuple[object, ...]:
    """Return a request's row under `CSV_COLUMNS`."""
    return tuple(getattr(stats, column) for column in CSV_COLUMNS)
