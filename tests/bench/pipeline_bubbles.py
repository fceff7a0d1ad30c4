"""How long pipeline stages wait, live and simulated: `python -m tests.bench.pipeline_bubbles --pp 2`.

Runs prompts with the lengths of arXiv papers, divided, through one engine core over ranks of this machine, under
stall-free and under mixed-whole batches, and prints the bubble time of a request, the makespan, and two predictions of
it: by the simulator's pipeline of batches whose stages take what they took, and by the simulator from a cost profile
alone: a given one of the layout, or one that is fitted, as `sarathid profile` does, to what the ranks took for made-up
batches before and behind the run, since what else the machine does changes.

`--simulated` does the same at full length on the profile of Falcon-180B over two stages.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from sarathid.config import EngineConfig
from sarathid.costmodel.library import find_profile
from sarathid.costmodel.pipeline import Pipeline
from sarathid.protocol.stats import IterationStats
from sarathid.protocol.step import StepOutput
from sarathid.simulator.serving import Serving
from sarathid.simulator.simulator import simulate
from sarathid.workload import PlannedRequest
from sarathid.workload_catalog import load_requests
from tests.bench.live_pipeline import started

POLICIES = ("stall-free", "mixed-whole")
LIVE_SCALE = 16
SIMULATED_PROFILE = "a100/falcon-180b-tp4-pp2"
SIMULATED_BUDGET = 512
MAX_MODEL_LEN = 16_384


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run's iterations came to, and what the pipeline says of stages that take what they took."""

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
            f"makespan {self.makespan_s:7.2f} s, by its stages {self.off_by(self.predicted_s)}"
        )

    def off_by(self, predicted_s: float) -> str:
        """Return a prediction of the makespan, and how far off it is."""
        return f"{predicted_s:.2f} s ({predicted_s / self.makespan_s - 1.0:+.1%})"


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


def run_live(arguments: argparse.Namespace, requests: Sequence[PlannedRequest]) -> dict[str, list[Measured]]:
    """Run the policies in turn over ranks of this machine, print each, and return what each round measured."""
    found: dict[str, list[Measured]] = {policy: [] for policy in POLICIES}
    given = None if arguments.profile is None else find_profile(arguments.profile)
    errors = []
    with started(arguments.model, arguments.pp) as pipeline:
        behind = [] if given is not None else pipeline.measure()
        for _ in range(arguments.rounds):
            for policy in POLICIES:
                measured = Measured.of(pipeline.run(policy, requests).iterations, len(requests))
                found[policy].append(measured)
                profile = given
                if profile is None:
                    before, behind = behind, pipeline.measure()
                    profile = pipeline.profile([*before, *behind])
                simulated = Measured.of(pipeline.simulate(profile, policy, requests), len(requests))
                errors.append(simulated.makespan_s / measured.makespan_s - 1.0)
                words = f"by its cost profile alone {measured.off_by(simulated.makespan_s)}"
                print(f"{policy:12} {measured}, {words}", flush=True)
    print(f"from cost profiles alone, in the median of {len(errors)} runs, {median(map(abs, errors)):.1%} off")
    return found


def run_simulated(requests: Sequence[PlannedRequest]) -> dict[str, list[Measured]]:
    """Run the policies on the devices of the profile, and print each."""
    found = {}
    for policy in POLICIES:
        found[policy] = [simulated(policy, requests)]
        print(f"{policy:12} {found[policy][0]}")
    return found


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
    parser.add_argument("--rounds", type=int, default=2, help="how often each policy runs, in turn")
    parser.add_argument("--profile", help="a cost profile of the layout, by name or file [measured here]")
    parser.add_argument("--simulated", action="store_true")
    arguments = parser.parse_args()
    scale = 1 if arguments.simulated else LIVE_SCALE
    listed = load_requests("arxiv", num_requests=arguments.num_requests, seed=5, scale=scale).requests
    requests = [PlannedRequest(0.0, planned.num_prompt_tokens, planned.num_output_tokens) for planned in listed]
    found = run_simulated(requests) if arguments.simulated else run_live(arguments, requests)
    chunked, whole = (sum(measured.bubble_s for measured in found[policy]) for policy in POLICIES)
    print(f"stall-free leaves {chunked / whole:.2f} of the bubbles of mixed-whole")


if __name__ == "__main__":
    main()
