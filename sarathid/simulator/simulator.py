"""Runs a workload through the real engine core on simulated devices, under a virtual clock."""

from collections.abc import Callable, Sequence

from sarathid.capacity import Objective
from sarathid.clock import VirtualClock
from sarathid.costmodel.cost_profile import CostProfile
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.engine.assembly import build_core
from sarathid.executor.disturbance import Disturbance
from sarathid.executor.simulated import SimulatedExecutor
from sarathid.protocol.step import StepOutput
from sarathid.simulator.outlook import Outlook
from sarathid.simulator.replay import Replay
from sarathid.simulator.report import SimulationReport, report
from sarathid.simulator.serving import Serving
from sarathid.workload import PlannedRequest


def simulate(
    profile: CostProfile,
    serving: Serving,
    requests: Sequence[PlannedRequest],
    *,
    give_up_on: Objective | None = None,
    on_step: Callable[[StepOutput], None] | None = None,
) -> SimulationReport:
    """Return what serving `requests` (in order of arrival) would have shown.

    The run ends when all have finished, or when `give_up_on` can no longer be met: then the report is incomplete and
    its latencies are lower bounds. Raises `ConfigError` when the settings contradict themselves or the profile.
    """
    clock = VirtualClock()
    cost_model = IterationCostModel(profile)
    executor = SimulatedExecutor(
        cost_model,
        clock,
        max_model_len=serving.max_model_len,
        block_size=serving.block_size,
        disturbance=None if serving.disturbance_seed is None else Disturbance(serving.disturbance_seed),
    )
    core = build_core(
        serving.engine_config(), executor, executor.start(), clock, cost_model=cost_model, tile=profile.linear.tile
    )
    replay = Replay(core, clock, requests, executor.has_room_at)
    outlook = None if give_up_on is None else Outlook(give_up_on, replay.measured)
    while (output := replay.step()) is not None:
        if on_step is not None:
            on_step(output)
        if outlook is not None and outlook.is_hopeless(replay.now_s):
            break
    return report(profile, serving, replay.measured, executor.pipeline, replay.now_s)
