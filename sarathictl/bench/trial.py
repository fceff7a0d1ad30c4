"""What one rate of requests showed, judged by the same objective as in simulation."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sarathictl.bench.measurement import nearest_rank
from sarathictl.bench.trace import LoadTrace, RequestTrace
from sarathid.capacity import Objective
from sarathid.protocol.stats import RequestStats
from sarathid.workload import PlannedRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTrial:
    """One run at one rate. TBT and TTFT are the clients' own, scheduling delay is the engine's; seconds.

    Of a run that was stopped early, P99 TBT and the median delay are lower bounds: what was not seen
    counts as zero.
    """

    rate_per_s: float
    num_requests: int
    num_finished: int
    num_failed: int
    is_complete: bool
    duration_s: float
    tbt_p50_s: float | None
    tbt_p99_s: float | None
    tbt_max_s: float | None
    ttft_p50_s: float | None
    ttft_p99_s: float | None
    scheduling_delay_p50_s: float | None
    output_tokens_per_s: float


def judge(
    rate_per_s: float, planned: Sequence[PlannedRequest], load: LoadTrace, finished: Iterable[RequestStats]
) -> LiveTrial:
    """Return the figures of one run; `finished` are the daemon's records of its requests."""
    ended = sum(request.is_finished for request in load.requests)
    failed = sum(request.failure is not None for request in load.requests)
    tbts_s = sorted(itertools.chain.from_iterable(map(_tbts_s, load.requests)))
    ttfts_s = sorted(request.ttft_s for request in load.requests if request.ttft_s is not None)
    return LiveTrial(
        rate_per_s=rate_per_s,
        num_requests=len(planned),
        num_finished=ended,
        num_failed=failed,
        is_complete=ended + failed == len(planned),
        duration_s=load.duration_s,
        tbt_p50_s=nearest_rank(tbts_s, 0.5),
        tbt_p99_s=nearest_rank(tbts_s, 0.99, _num_tbts(planned)),
        tbt_max_s=tbts_s[-1] if tbts_s else None,
        ttft_p50_s=nearest_rank(ttfts_s, 0.5),
        ttft_p99_s=nearest_rank(ttfts_s, 0.99),
        scheduling_delay_p50_s=nearest_rank(sorted(_delays_s(finished)), 0.5, len(planned)),
        output_tokens_per_s=sum(len(request.token_times_s) for request in load.requests) / load.duration_s,
    )


def is_hopeless(
    objective: Objective,
    planned: Sequence[PlannedRequest],
    traces: Iterable[RequestTrace],
    finished: Iterable[RequestStats],
) -> bool:
    """Return whether the objective is missed however well the rest of the run goes."""
    tbts_s = sorted(itertools.chain.from_iterable(map(_tbts_s, traces)))
    delays_s = sorted(_delays_s(finished))
    return (nearest_rank(tbts_s, 0.99, _num_tbts(planned)) or 0.0) > objective.tbt_s or (
        nearest_rank(delays_s, 0.5, len(planned)) or 0.0
    ) > objective.scheduling_delay_s


def _num_tbts(planned: Sequence[PlannedRequest]) -> int:
    return sum(request.num_output_tokens - 1 for request in planned)


def _tbts_s(request: RequestTrace) -> Iterable[float]:
    return (after_s - before_s for before_s, after_s in itertools.pairwise(request.token_times_s))


def _delays_s(finished: Iterable[RequestStats]) -> Iterable[float]:
    return (stats.scheduled_s - stats.arrival_s for stats in finished if stats.scheduled_s is not None)
