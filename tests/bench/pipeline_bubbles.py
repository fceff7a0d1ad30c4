"""How long pipeline stages wait, live and simulated: `python -m tests.bench.pipeline_bubbles --pp 2`.

Runs prompts with the lengths of arXiv papers, divided, through one engine core over ranks of this machine, under
stall-free and under mixed-whole batches, and prints the bubble time of a request, the makespan, and what makespan the
simulator's pipeline says of batches whose stages take what they took. `--simulated` does the same at full length on
the profile of Falcon-180B over two stages.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from sarathid.clock import MonotonicClock
from sarathid.config import EngineConfig
from sarathid.costmodel.library import find_profile
from sarathid.costmodel.pipeline import Pipeline
from sarathid.engine.assembly import build_core
from sarathid.executor.parallel import ParallelExecutor
from sarathid.protocol.stats import IterationStats
from sarathid.protocol.step import StepOutput
from sarathid.simulator.replay import Replay
from sarathid.simulator.serving import Serving
from sarathid.simulator.simulator import simulate
from sarathid.workload import PlannedRequest
from sarathid.workload_catalog import load_requests

POLICIES = ("stall-free", "mixed-whole")
LIVE_SCALE = 16
LIVE_BUDGET = 64
SIMULATED_PROFILE = "a100/falcon-180b-tp4-pp2"
SIMULATED_BUDGET = 512
MAX_MODEL_LEN = 16_384


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run's iterations came to; a prediction only where they were live."""

    num_requests: int
    makespan_s: float
    busy_s: float
    bubble_s: float
    predicted_s: float

    @classmethod
    def of(cls, iterations: Sequence[IterationStats], num_requests: int) -> "Measured":
        stages = [stage for stats in iterations for stage in stats.stages]
        return cls(
            num_requests=num_requests,
            makespan_s=iterations[-1].stages[-1].start_s + iterations[-1].stages[-1].busy_s - iterations[0].start_s,
            busy_s=sum(stage.busy_s for stage in stages),
            bubble_s=sum(stage.bubble_s for stage in stages),
            predicted_s=predicted_makespan_s(iterations),
        )

    def __str__(self) -> str:
        share = self.bubble_s / (self.bubble_s + self.busy_s)
        return (
            f"bubbles {self.bubble_s / self.num_requests:7.3f} s a request ({share:5.1%} of the stages' time)  "
            f"makespan {self.makespan_s:7.2f} s, predicted {self.predicted_s:7.2f} s "
            f"({self.predicted_s / self.makespan_s - 1.0:+.1%})"
        )


def predicted_makespan_s(iterations: Sequence[IterationStats]) -> float:
    """Return when the simulator's pipeline is done with these batches, as many in flight as there are stages.

    A batch goes in when the one that many before it is done, as the engine launches it.
    """
    depth = len(iterations[0].stages)
    pipeline, done_s = Pipeline(depth), [0.0] * depth
    for stats in iterations:
        works = pipeline.run(done_s[-depth], tuple(stage.busy_s for stage in stats.stages))
        done_s.append(works[-1].end_s)
    return done_s[-1]


def live(model: str, policy: str, num_stages: int, requests: Sequence[PlannedRequest]) -> Measured:
    """Return what a core over ranks of this machine, all requests there from the start, does under a policy."""
    config = EngineConfig(
        model=model,
        policy=policy,
        token_budget=LIVE_BUDGET,
        max_token_budget=MAX_MODEL_LEN,
        max_num_seqs=8,
        pipeline_parallel=num_stages,
        num_threads=1,
    )
    executor = ParallelExecutor(config)
    try:
        clock = MonotonicClock()
        replay = Replay(build_core(config, executor, executor.start(), clock), clock, requests)
        iterations = []
        while (output := replay.step()) is not None:
            if output.stats is not None:
                iterations.append(output.stats)
    finally:
        executor.close()
    return Measured.of(iterations, len(requests))


def simulated(policy: str, requests: Sequence[PlannedRequest]) -> Measured:
    """Return what the profile's devices do under a policy."""
    iterations: list[IterationStats] = []

    def note(output: StepOutput) -> None:
        if output.stats is not None:
            iterations.append(output.stats)

    serving = Serving(
        policy=policy,
        token_budget=SIMULATED_BUDGET,
        max_num_seqs=32,
        max_model_len=MAX_MODEL_LEN,
        max_num_batched_tokens=MAX_MODEL_LEN,
    )
    simulate(find_profile(SIMULATED_PROFILE), serving, requests, on_step=note)
    return Measured.of(iterations, len(requests))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=EngineConfig().model)
    parser.add_argument("--pp", type=int, default=2)
    parser.add_argument("--num-requests", type=int, default=16)
    parser.add_argument("--simulated", action="store_true")
    arguments = parser.parse_args()
    scale = 1 if arguments.simulated else LIVE_SCALE
    listed = load_requests("arxiv", num_requests=arguments.num_requests, seed=5, scale=scale).requests
    requests = [PlannedRequest(0.0, planned.num_prompt_tokens, planned.num_output_tokens) for planned in listed]
    found = {
        policy: simulated(policy, requests)
        if arguments.simulated
        else live(arguments.model, policy, arguments.pp, requests)
        for policy in POLICIES
    }
    for policy, measured in found.items():
        print(f"{policy:12} {measured}")
    chunked, whole = (found[policy].bubble_s for policy in POLICIES)
    print(f"stall-free leaves {chunked / whole:.2f} of the bubbles of mixed-whole")


if __name__ == "__main__":
    main()
