"""A pipeline of ranks on this machine, for the benchmarks that run batches through it."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import msgspec

from sarathid.capacity import Objective
from sarathid.clock import MonotonicClock
from sarathid.commands.measured_profile import measured_profile
from sarathid.config import EngineConfig
from sarathid.costmodel.cost_profile import CostProfile
from sarathid.costmodel.fit import Sample, fit
from sarathid.engine.assembly import build_core
from sarathid.executor.base import ExecutorInfo
from sarathid.executor.parallel import ParallelExecutor
from sarathid.executor.profiler import measurable, measure, measure_sends
from sarathid.models.model_files import resolve
from sarathid.protocol.stats import IterationStats
from sarathid.simulator.measurement import Measurement
from sarathid.simulator.outlook import Outlook
from sarathid.simulator.replay import Replay
from sarathid.simulator.serving import Serving
from sarathid.simulator.simulator import simulate
from sarathid.workload import PlannedRequest

TOKEN_BUDGET = 64
MAX_NUM_SEQS = 8
MAX_MODEL_LEN = 1024
PROFILED_NUM_TOKENS = 512
KV_MEMORY_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What a run measured, its iterations, and when it ended on the engine's clock."""

    measured: Measurement
    iterations: Sequence[IterationStats]
    end_s: float


class LivePipeline:
    """Ranks that have started; every run has a core of its own, with nothing learned."""

    def __init__(self, config: EngineConfig, executor: ParallelExecutor, info: ExecutorInfo) -> None:
        self.info = info
        self._config = config
        self._executor = executor

    def measure(self) -> list[Sample]:
        """Return what iterations of many shapes take here now, half of those that `sarathid profile` measures.

        With half of them a makespan was predicted within 4 % of what it is with all, in a minute instead of two.
        """
        shapes = list(measurable(self.info, MAX_NUM_SEQS, PROFILED_NUM_TOKENS))
        random.Random(0).shuffle(shapes)
        return [measure(self._executor, self.info, shape, MonotonicClock()) for shape in shapes[::2]]

    def profile(self, samples: Sequence[Sample]) -> CostProfile:
        """Return the cost profile that `sarathid profile` makes of such samples."""
        model = resolve(self._config.model).config
        sent = measure_sends(self._executor, self.info, PROFILED_NUM_TOKENS)
        return measured_profile(self._config, self.info, model, fit(samples, model.num_layers), samples, sent)

    def run(self, policy: str, requests: Sequence[PlannedRequest], give_up_on: Objective | None = None) -> LiveRun:
        """Serve requests under a policy until all have ended, or `give_up_on` is out of reach."""
        clock = MonotonicClock()
        config = msgspec.structs.replace(self._config, policy=policy)
        core = build_core(config, self._executor, self.info, clock)
        replay = Replay(core, clock, requests)
        outlook = None if give_up_on is None else Outlook(give_up_on, replay.measured)
        iterations = []
        while (output := replay.step()) is not None:
            if output.stats is not None:
                iterations.append(output.stats)
            if outlook is not None and outlook.is_hopeless(replay.now_s):
                break
        end_s = replay.now_s
        while core.collect() is not None:  # what is in flight belongs to no later run
            pass
        return LiveRun(replay.measured, iterations, end_s)

    def burst_rate_per_s(self, policy: str, requests: Sequence[PlannedRequest]) -> float:
        """Return how many of the requests end in a second where all are there from the start."""
        at_once = [replace(request, arrival_s=0.0) for request in requests]
        iterations = self.run(policy, at_once).iterations
        return len(requests) / (iterations[-1].stages[-1].start_s - iterations[0].start_s)

    def simulate(self, profile: CostProfile, policy: str, requests: Sequence[PlannedRequest]) -> list[IterationStats]:
        """Return the iterations that the profile says the same run would have."""
        iterations: list[IterationStats] = []
        serving = Serving(
            policy=policy,
            token_budget=TOKEN_BUDGET,
            max_num_seqs=MAX_NUM_SEQS,
            max_model_len=self.info.max_model_len,
            num_blocks=self.info.num_blocks,
            block_size=self.info.block_size,
        )
        simulate(
            profile,
            serving,
            requests,
            on_step=lambda output: None if output.stats is None else iterations.append(output.stats),
        )
        return iterations


@contextmanager
def started(model: str, num_stages: int) -> Iterator[LivePipeline]:
    """Give a pipeline of as many ranks as stages, a thread each; none is left afterwards."""
    config = EngineConfig(
        model=model,
        device="cpu",
        token_budget=TOKEN_BUDGET,
        max_token_budget=MAX_MODEL_LEN,
        max_num_seqs=MAX_NUM_SEQS,
        max_model_len=MAX_MODEL_LEN,
        kv_memory_bytes=KV_MEMORY_BYTES,
        pipeline_parallel=num_stages,
        num_threads=num_stages,
        prefix_cache=False,
    )
    executor = ParallelExecutor(config)
    try:
        yield LivePipeline(config, executor, executor.start())
    finally:
        executor.close()
