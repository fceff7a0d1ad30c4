"""Runs a workload through the real engine core on simulated devices, under a virtual clock."""

import os
from collections.abc import Callable, Sequence

from sarathid.capacity import Objective
from sarathid.clock import Clock, VirtualClock
from sarathid.costmodel.cost_profile import CostProfile
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.engine.assembly import build_core, engine_info
from sarathid.engine.core import EngineCore
from sarathid.executor.disturbance import Disturbance
from sarathid.executor.pace import ObservedPace
from sarathid.executor.simulated import DevicePace, SimulatedExecutor
from sarathid.protocol.stats import EngineInfo
from sarathid.protocol.step import StepOutput
from sarathid.simulator.outlook import Outlook
from sarathid.simulator.replay import Replay
from sarathid.simulator.report import SimulationReport, report
from sarathid.simulator.serving import Serving
from sarathid.simulator.timed_change import TimedChange
from sarathid.simulator.window import Window, WindowFold
from sarathid.workload import PlannedRequest


def simulate(
    profile: CostProfile,
    serving: Serving,
    requests: Sequence[PlannedRequest],
    *,
    changes: Sequence[TimedChange] = (),
    window: Window | None = None,
    give_up_on: Objective | None = None,
    on_start: Callable[[EngineCore, EngineInfo], None] | None = None,
    on_step: Callable[[StepOutput], None] | None = None,
) -> SimulationReport:
    """Return what serving `requests` (in order of arrival) would have shown, with `changes` (in order of time).

    The run ends when all have finished, at the end of a `window`, or when `give_up_on` can no longer be met: then the
    report is incomplete and its latencies are lower bounds. Raises `ConfigError` when the settings contradict
    themselves or the profile, `ControlRefused` when a change does.
    """
    clock = VirtualClock()
    cost_model = IterationCostModel(profile, serving.correction)
    executor = SimulatedExecutor(
        cost_model,
        clock,
        max_model_len=serving.max_model_len,
        block_size=serving.block_size,
        num_blocks=serving.num_blocks,
        pace=_pace(serving, clock),
    )
    config, found, tile = serving.engine_config(), executor.start(), profile.linear.tile
    core = build_core(config, executor, found, clock, cost_model=cost_model, tile=tile)
    if on_start is not None:
        on_start(core, engine_info(config, found, os.getpid(), tile, profile.name))
    replay = Replay(core, clock, requests, executor.has_room_at, changes)
    outlook = None if give_up_on is None else Outlook(give_up_on, replay.measured)
    fold = WindowFold(window)
    while not fold.is_over(replay.now_s) and (output := replay.step()) is not None:
        fold.observe(output)
        if on_step is not None:
            on_step(output)
        if outlook is not None and outlook.is_hopeless(replay.now_s):
            break
    figures = fold.figures(core.settings.slo.tbt_s)
    return report(profile, serving, replay.measured, replay.now_s, figures)


def _pace(serving: Serving, clock: Clock) -> DevicePace | None:
    if serving.pace is not None:
        return ObservedPace(serving.pace, serving.disturbance_seed or 0, clock)
    return None if serving.disturbance_seed is None else Disturbance(serving.disturbance_seed)
