"""Which rate a live pipeline holds, chunked and whole: `python -m tests.bench.pipeline_capacity --pp 2`.

Poisson arrivals of prompts with the lengths of arXiv papers, divided, through an engine core over ranks of this host,
under stall-free and under mixed-whole batches in turn, so that what else the machine does meets both. A rate is held
where P99 TBT is at most so many isolated decodes and half of the requests start within two seconds; rates are a quarter
apart. Prints every trial with the bubble time of a request, and the ratio of the two capacities.
"""

import argparse
from dataclasses import dataclass
from statistics import geometric_mean

from sarathid.capacity import Objective, meets
from sarathid.config import EngineConfig
from sarathid.request_list import RequestList
from sarathid.simulator.report import Latency
from sarathid.workload_catalog import load_requests
from tests.bench.live_pipeline import LivePipeline, started

POLICIES = ("stall-free", "mixed-whole")
SCALE = 16
STEP = 1.25
MOST_STEPS_DOWN = 8
FIRST_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class LiveTrial:
    """What a run at one rate showed; one that was given up knows lower bounds."""

    is_complete: bool
    num_failed: int
    tbt_p99_s: float | None
    scheduling_delay_p50_s: float | None
    bubble_s: float

    def __str__(self) -> str:
        tbt_s, delay_s = self.tbt_p99_s or 0.0, self.scheduling_delay_p50_s or 0.0
        ended = "" if self.is_complete else ", given up"
        return f"TBT P99 {tbt_s:.3f} s, delay P50 {delay_s:.2f} s, bubbles {self.bubble_s:.3f} s a request{ended}"


def run(pipeline: LivePipeline, policy: str, requests: RequestList, objective: Objective | None) -> LiveTrial:
    """Serve the requests, at most until the objective is out of reach."""
    run = pipeline.run(policy, requests.requests, give_up_on=objective)
    measured, num_finished = run.measured, len(run.measured.finished)
    delays_s = [*measured.delays_s, *measured.waits_s(run.end_s)]
    return LiveTrial(
        is_complete=num_finished == len(requests.requests),
        num_failed=measured.num_refused,
        tbt_p99_s=Latency.of(measured.tbts_s, measured.num_tbts_to_come).p99,
        scheduling_delay_p50_s=Latency.of(delays_s, measured.num_to_arrive(run.end_s)).p50,
        bubble_s=measured.bubble_s / max(1, num_finished),
    )


def find_capacity(
    pipeline: LivePipeline, policy: str, requests: RequestList, objective: Objective, first_rate_per_s: float
) -> float:
    """Return the highest rate a second that a policy holds, of those a step apart; print the trials."""

    def holds(rate_per_s: float) -> bool:
        trial = run(pipeline, policy, requests.at_rate(rate_per_s), objective)
        is_held = meets(trial, objective)
        print(f"  {policy:12}{rate_per_s:7.3f}/s  {'held' if is_held else 'missed'}: {trial}", flush=True)
        return is_held

    rate_per_s = first_rate_per_s
    if holds(rate_per_s):
        while holds(rate_per_s * STEP):
            rate_per_s *= STEP
        return rate_per_s
    for _ in range(MOST_STEPS_DOWN):
        rate_per_s /= STEP
        if holds(rate_per_s):
            return rate_per_s
    raise SystemExit(f"{policy} holds none of the rates down to {rate_per_s:.3f}/s; give a larger --slo")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=EngineConfig().model)
    parser.add_argument("--pp", type=int, default=2)
    parser.add_argument("--num-requests", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=2, help="searches of each policy, in turn")
    parser.add_argument("--slo", type=float, default=25.0, help="P99 TBT in isolated decodes")
    arguments = parser.parse_args()
    requests = load_requests("arxiv", num_requests=arguments.num_requests, seed=5, scale=SCALE)
    found: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    with started(arguments.model, arguments.pp) as pipeline:
        objective = Objective(arguments.slo * pipeline.info.isolated_decode_s)
        burst_per_s = pipeline.burst_rate_per_s(POLICIES[0], requests.requests)
        print(f"P99 TBT within {objective.tbt_s:.3f} s; all at once, {burst_per_s:.3f} requests a second end")
        for _ in range(arguments.rounds):
            for policy in POLICIES:
                found[policy].append(find_capacity(pipeline, policy, requests, objective, FIRST_SHARE * burst_per_s))
    chunked, whole = (geometric_mean(found[policy]) for policy in POLICIES)
    print(f"capacity: stall-free {chunked:.3f}/s, mixed-whole {whole:.3f}/s, ratio {chunked / whole:.2f}")


if __name__ == "__main__":
    main()
