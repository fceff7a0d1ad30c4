"""An engine whose executor has started: loaded from a configuration, with nothing to do yet."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from sarathid.clock import MonotonicClock
from sarathid.config import EngineConfig
from sarathid.costmodel.cost_profile import profile_name
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile, profile_if_any
from sarathid.engine.assembly import build_core, engine_info
from sarathid.engine.core import EngineCore
from sarathid.executor.base import Executor, ExecutorInfo
from sarathid.executor.kept_memory import KeptMemory
from sarathid.executor.parallel import ParallelExecutor
from sarathid.executor.running_ahead import runs_ahead
from sarathid.executor.simulated import SimulatedExecutor
from sarathid.protocol.stats import EngineInfo

_SIMULATED_MODEL_LEN = 8192
_SIMULATED_BLOCK_SIZE = 16


@dataclass(frozen=True, slots=True)
class LoadedEngine:
    """A core in this process, and what runs its batches; whoever holds it closes the executor."""

    executor: Executor
    core: EngineCore
    info: EngineInfo


def load_engine(
    config: EngineConfig,
    kept: KeptMemory | None = None,
    gc_total_s: Callable[[], float] = lambda: 0.0,
    tell_awaited: Callable[[str], None] = lambda _: None,
) -> LoadedEngine:
    """Start the executor that `config` asks for and put a core on it; the user's cost profile is found by what runs.

    Where the engine waits for others who compute, longer than usual, `tell_awaited` is called with their names.
    Raises `ModelRefused` and `ConfigError` as `Executor.start` and `build_core` do.
    """
    executor = _executor(config, kept, tell_awaited)
    try:
        return _loaded(config, executor, executor.start(), kept, gc_total_s)
    except BaseException:
        executor.close()
        raise


def _loaded(
    config: EngineConfig,
    executor: Executor,
    found: ExecutorInfo,
    kept: KeptMemory | None,
    gc_total_s: Callable[[], float],
) -> LoadedEngine:
    name = config.simulate or profile_name(
        found.device, found.model, found.weight_format, config.tensor_parallel, config.pipeline_parallel
    )
    profile = profile_if_any(name)  # the user's own, else one that ships
    tile = 1 if profile is None else profile.linear.tile
    core = build_core(
        config,
        executor,
        found,
        MonotonicClock(),
        gc_total_s,
        cost_model=None if profile is None else IterationCostModel(profile),
        tile=tile,
        ledger=None if kept is None else kept.ledger,
    )
    return LoadedEngine(executor, core, engine_info(config, found, os.getpid(), tile, "" if profile is None else name))


def _executor(config: EngineConfig, kept: KeptMemory | None, tell_awaited: Callable[[str], None]) -> Executor:
    if config.simulate is not None:
        profile = find_profile(config.simulate)
        block_size = config.block_size or _SIMULATED_BLOCK_SIZE
        return SimulatedExecutor(
            IterationCostModel(profile),
            MonotonicClock(),
            max_model_len=config.max_model_len or _SIMULATED_MODEL_LEN,
            block_size=block_size,
            num_blocks=profile.num_blocks(block_size, config.kv_memory_bytes),
            chains=True,
            runs_ahead=runs_ahead(config.async_scheduling, profile.shape.num_devices, is_beside=True),
        )
    if config.tensor_parallel * config.pipeline_parallel > 1:
        return ParallelExecutor(config, tell_awaited)
    # Deferred: where others compute, or nobody does, this process needs no torch.
    from sarathid.executor.local import LocalExecutor

    return LocalExecutor(config, kept if config.prefix_cache else None)
