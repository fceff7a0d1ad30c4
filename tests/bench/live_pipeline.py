"""Two pipeline stages on this machine, and what the simulator says of them: `python -m tests.bench.live_pipeline`.

Measures a random model in one process, as `sarathid profile` does, and has the simulator predict from that profile how
long two stages take for arXiv-like prompts. Then two real stages, of one thread each, serve the same requests, under
stall-free and under mixed-whole batches. Prints the predicted against the measured makespan, and each policy's bubbles.
"""

import argparse
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from sarathid.clock import MonotonicClock, Timer, VirtualClock
from sarathid.commands.profile import build_profile
from sarathid.config import EngineConfig
from sarathid.costmodel.cost_profile import CostProfile, SendRecv
from sarathid.costmodel.fit import fit
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.engine.assembly import build_core
from sarathid.engine.core import EngineCore
from sarathid.executor.local import LocalExecutor
from sarathid.executor.parallel import ParallelExecutor
from sarathid.executor.profiler import measurable, measure
from sarathid.executor.simulated import SimulatedExecutor
from sarathid.models.model_files import resolve
from sarathid.simulator.replay import Replay
from sarathid.workload import PlannedRequest
from sarathid.workload_catalog import load_requests
from tests.models.tiny import save_tiny_model

POLICIES = ("stall-free", "mixed-whole")
BUDGET = 128
MAX_NUM_SEQS = 16
MAX_MODEL_LEN = 2048
SEND_US = ((1.0, 300.0), (1e6, 1000.0))  # microseconds for so many bytes over a loopback, about
HasRoomAt: TypeAlias = Callable[[float], bool]
SHAPE: dict[str, Any] = {
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "intermediate_size": 1024,
    "max_position_embeddings": MAX_MODEL_LEN,
}


def main() -> None:
    """Profile, predict, serve, and print what came of each policy."""
    parser = argparse.ArgumentParser(prog="live_pipeline")
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument(
        "--scale", type=int, default=16, help="what lengths of arXiv's prompts and answers are divided by"
    )
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second; more than can be served at once")
    arguments = parser.parse_args()
    found = load_requests("arxiv", num_requests=arguments.requests, seed=1, scale=arguments.scale)
    requests = found.at_rate(arguments.rate).requests
    with tempfile.TemporaryDirectory(prefix="pipeline-") as scratch:
        save_tiny_model(Path(scratch) / "model", **SHAPE)
        config = EngineConfig(
            model=f"{scratch}/model",
            device="cpu",
            num_threads=1,
            kv_memory_bytes=256 << 20,
            max_model_len=MAX_MODEL_LEN,
            max_num_seqs=MAX_NUM_SEQS,
            token_budget=BUDGET,
            slo_tbt=None,
        )
        profile = two_stages(measured_profile(config))
        for policy in POLICIES:
            measured = live(
                msgspec.structs.replace(config, policy=policy, pipeline_parallel=2, num_threads=2), requests
            )
            predicted = simulated(profile, msgspec.structs.replace(config, policy=policy), requests)
            print(
                f"{policy}: makespan {measured.makespan_s:.2f} s measured, {predicted.makespan_s:.2f} s predicted "
                f"({predicted.makespan_s / measured.makespan_s - 1:+.0%}); {measured.requests_per_s:.2f} requests a "
                f"second; bubbles {measured.bubble_s_per_request * 1000:.0f} ms a request measured, "
                f"{predicted.bubble_s_per_request * 1000:.0f} ms predicted"
            )


@dataclass(frozen=True, slots=True)
class Run:
    """What serving all requests took, and for how long stages waited meanwhile though there was work."""

    num_requests: int
    makespan_s: float
    bubble_s: float

    @property
    def requests_per_s(self) -> float:
        return self.num_requests / self.makespan_s

    @property
    def bubble_s_per_request(self) -> float:
        return self.bubble_s / self.num_requests


def measured_profile(config: EngineConfig) -> CostProfile:
    """Return what iterations cost in one process of one thread."""
    executor = LocalExecutor(config)
    info, clock = executor.start(), MonotonicClock()
    shapes = list(measurable(info, MAX_NUM_SEQS, 1024))
    random.Random(0).shuffle(shapes)
    samples = [measure(executor, info, shape, clock) for shape in shapes]
    executor.close()
    files = resolve(config.model)
    return build_profile(info, files, fit(samples, files.config.num_layers), samples)


def two_stages(profile: CostProfile) -> CostProfile:
    """Return the profile of the same model, half of its layers on each of two devices."""
    shape = msgspec.structs.replace(profile.shape, pipeline_parallel=2)
    return msgspec.structs.replace(profile, shape=shape, send_recv=SendRecv(table=SEND_US))


def live(config: EngineConfig, requests: Sequence[PlannedRequest]) -> Run:
    executor = ParallelExecutor(config)
    try:
        clock = MonotonicClock()
        return serve(build_core(config, executor, executor.start(), clock), clock, requests)
    finally:
        executor.close()


def simulated(profile: CostProfile, config: EngineConfig, requests: Sequence[PlannedRequest]) -> Run:
    clock, cost_model = VirtualClock(), IterationCostModel(profile)
    executor = SimulatedExecutor(cost_model, clock, max_model_len=MAX_MODEL_LEN, block_size=16)
    core = build_core(config, executor, executor.start(), clock, cost_model=cost_model, tile=profile.linear.tile)
    return serve(core, clock, requests, executor.has_room_at)


def serve(
    core: EngineCore, clock: Timer, requests: Sequence[PlannedRequest], has_room_at: HasRoomAt = lambda _: False
) -> Run:
    start_s, replay = clock.now_s(), Replay(core, clock, requests, has_room_at)
    while replay.step() is not None:
        pass
    return Run(len(requests), clock.now_s() - start_s, replay.measured.bubble_s)


if __name__ == "__main__":
    main()
