"""Whether a daemon keeps its target while prompt lengths shift: `python -m tests.bench.shifting_load RUNTIME_DIR`.

Sends requests in an open loop over HTTP, with prompts of another length every 30 s, and prints for each phase what the
engine's own records say: TBT, late tokens and what they were late for, how many more came late to the client, the
budget in tokens, and how well iterations were predicted.
"""

import argparse
import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sarathictl.bench.measurement import nearest_rank
from sarathictl.bench.open_loop import OpenLoop
from sarathictl.client.control import ControlClient
from sarathictl.client.endpoint import Endpoint
from sarathictl.client.stats_stream import StatsStream
from sarathid.protocol.control import GetStatus, Status
from sarathid.protocol.stats import IterationStats, StallEvent
from sarathid.workload import PlannedRequest

PHASE_S = 30.0
GRACE_S = 60.0
NUM_OUTPUT_TOKENS = 48


@dataclass(frozen=True, slots=True)
class Phase:
    """So many requests a second, their prompts of so many tokens."""

    num_prompt_tokens: int
    rate_per_s: float


PHASES = (Phase(64, 1.5), Phase(512, 0.4), Phase(1500, 0.15), Phase(200, 0.9), Phase(32, 2.0), Phase(900, 0.22))


class Records:
    """The iterations and stalls that a daemon publishes."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.iterations: list[IterationStats] = []
        self.stalls: list[StallEvent] = []
        self.stream = StatsStream(endpoint, on_arrival=self._take)

    def _take(self) -> None:
        for received in self.stream.drain():
            if isinstance(received.item, IterationStats):
                self.iterations.append(received.item)
            elif isinstance(received.item, StallEvent):
                self.stalls.append(received.item)


def requests(rng: random.Random) -> Iterator[PlannedRequest]:
    """Yield Poisson arrivals, phase after phase."""
    for index, phase in enumerate(PHASES):
        time_s = index * PHASE_S
        while (time_s := time_s + rng.expovariate(phase.rate_per_s)) < (index + 1) * PHASE_S:
            yield PlannedRequest(time_s, phase.num_prompt_tokens, NUM_OUTPUT_TOKENS)


def describe(phase: Phase, iterations: Sequence[IterationStats], stalls: Sequence[StallEvent], target_s: float) -> str:
    """Return a phase's figures in a line."""
    tbts_s = sorted(gap.tbt_s for stats in iterations for gap in stats.gaps)
    budgets = sorted(stats.token_budget for stats in iterations if stats.chunks)
    errors = sorted(
        abs(stats.predicted_s / stats.execute_s - 1.0) for stats in iterations if stats.predicted_s is not None
    )
    num_late = sum(tbt_s > target_s for tbt_s in tbts_s)
    causes, num_on_the_way = Counter[str](), 0
    for stall in stalls:
        if stall.is_delivery:
            num_on_the_way += len(stall.victims)
        else:
            causes[stall.cause.value] += len(stall.victims)
    assert causes.total() == num_late, "a late token has no stall event"
    p99_s = nearest_rank(tbts_s, 0.99) or 0.0
    error, worst_error = nearest_rank(errors, 0.5) or 0.0, nearest_rank(errors, 0.95) or 0.0
    return (
        f"{phase.num_prompt_tokens:6} tokens  P99 TBT {1e3 * p99_s:6.0f} ms ({p99_s / target_s:4.2f} of the target)  "
        f"{num_late:4} of {len(tbts_s):5} late {dict(causes)}, {num_on_the_way} on their way  "
        f"budget {budgets[len(budgets) // 2]:4}  "
        f"off by {100 * error:4.1f} % (P50) {100 * worst_error:4.1f} % (P95)"
    )


async def run(endpoint: Endpoint, vocab_size: int, seed: int) -> tuple[float, Records]:
    records = Records(endpoint)
    records.stream.start()
    rng = random.Random(seed)
    load = OpenLoop(endpoint.api, tuple(requests(rng)), rng, vocab_size=vocab_size, grace_s=GRACE_S)
    try:
        trace = await load.run(asyncio.Event().wait)
    finally:
        records.stream.close()
    for failed in trace.failed:
        print(f"{failed.name}: {failed.failure}")
    return trace.start_s, records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="the daemon's runtime directory")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    endpoint = Endpoint(arguments.directory)
    with ControlClient(endpoint.control) as control:
        status = control.request(GetStatus(), Status)
    assert status.engine is not None
    assert status.settings is not None
    target_s = status.settings.slo.tbt_s
    assert target_s is not None, "the daemon has no target"
    print(f"{status.engine.model}, target {1e3 * target_s:.0f} ms, budget {status.settings.budget}")
    start_s, records = asyncio.run(run(endpoint, status.engine.vocab_size, arguments.seed))
    for index, phase in enumerate(PHASES):
        since_s = start_s + index * PHASE_S
        until_s = since_s + PHASE_S if index + 1 < len(PHASES) else float("inf")
        iterations = [stats for stats in records.iterations if since_s <= stats.end_s < until_s]
        numbers = {stats.sequence_number for stats in iterations}
        stalls = [stall for stall in records.stalls if stall.iteration in numbers]
        print(describe(phase, iterations, stalls, target_s))


if __name__ == "__main__":
    main()
