"""The engine's own process: `python -m sarathid.engine.process --endpoint PATH`.

It reads its `EngineConfig` as one line of JSON from standard input, whose end means that the daemon
is gone, and then speaks the messages of `sarathid.protocol.step` with it.
"""

import argparse
import gc
import os
import sys
from pathlib import Path

import msgspec
import zmq

from sarathid.clock import MonotonicClock
from sarathid.config import EngineConfig
from sarathid.costmodel.cost_profile import profile_name
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile, profile_if_any
from sarathid.engine.assembly import build_core, engine_info
from sarathid.engine.host import EngineHost, send
from sarathid.errors import SarathiError
from sarathid.executor.base import Executor
from sarathid.executor.kept_memory import KeptMemory
from sarathid.executor.lifeline import live_and_die_with_the_parent
from sarathid.executor.parallel import ParallelExecutor
from sarathid.executor.simulated import SimulatedExecutor
from sarathid.executor.unexpected import UnexpectedFault
from sarathid.protocol.step import EngineFault, EngineReady
from sarathid.telemetry.gc_meter import GarbageCollectionMeter

_SIMULATED_MODEL_LEN = 8192
_SIMULATED_BLOCK_SIZE = 16


def main() -> int:
    """Serve the daemon until it says stop; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="sarathid-engine")
    parser.add_argument("--endpoint", type=Path, required=True, help="the daemon's socket for this engine")
    parser.add_argument("--kept-memory", type=int, help="the descriptor of memory that outlives this process")
    parser.add_argument("--generation", type=int, default=0, help="how many engines the daemon had before")
    arguments = parser.parse_args()
    live_and_die_with_the_parent()
    config = msgspec.json.decode(sys.stdin.buffer.readline(), type=EngineConfig)
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.set_hwm(0)
    socket.linger = 1000
    socket.connect(f"ipc://{arguments.endpoint}")
    try:
        _serve(config, socket, None if arguments.kept_memory is None else KeptMemory(arguments.kept_memory))
    except SarathiError as error:
        send(socket, EngineFault(message=str(error), exit_code=error.exit_code))
        return error.exit_code
    except Exception:  # noqa: BLE001 - the daemon is told, whatever it was, and starts another engine
        fault = UnexpectedFault.caught()
        sys.stderr.write(fault.for_log)
        send(socket, EngineFault(message=f"the engine failed: {fault}", exit_code=1))
        return 1
    finally:
        socket.close()
        context.term()
    return 0


def _serve(config: EngineConfig, socket: "zmq.Socket[bytes]", kept: KeptMemory | None) -> None:
    meter = GarbageCollectionMeter()
    executor = _executor(config, kept)
    try:
        found = executor.start()
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
            lambda: meter.total_s,
            cost_model=None if profile is None else IterationCostModel(profile),
            tile=tile,
            ledger=None if kept is None else kept.ledger,
        )
        gc.collect()
        gc.freeze()
        meter.start()
        info = engine_info(config, found, os.getpid(), tile, "" if profile is None else name)
        send(socket, EngineReady(info=info, settings=core.settings))
        EngineHost(core, socket, sys.stdin.fileno()).run()
    finally:
        executor.close()


def _executor(config: EngineConfig, kept: KeptMemory | None) -> Executor:
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
        )
    if config.tensor_parallel * config.pipeline_parallel > 1:
        return ParallelExecutor(config)
    # Deferred: where others compute, or nobody does, this process needs no torch.
    from sarathid.executor.local import LocalExecutor

    return LocalExecutor(config, kept if config.prefix_cache else None)


if __name__ == "__main__":
    sys.exit(main())
