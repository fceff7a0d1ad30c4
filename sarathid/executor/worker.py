"""A rank's own process: `python -m sarathid.executor.worker`, started by the engine or by a node that joined one.

It reads its `RankConfig` as MessagePack from standard input, whose end means that who started it is gone.
"""

import gc
import os
import socket
import sys
import threading
from collections.abc import Callable

import torch

from sarathid.clock import MonotonicClock
from sarathid.errors import SarathiError
from sarathid.executor.batch_memory import BatchReader
from sarathid.executor.frames import FrameSocket, read_frame
from sarathid.executor.layout import Layout
from sarathid.executor.lifeline import live_and_die_with_the_parent
from sarathid.executor.rank import Rank, dtype_name
from sarathid.executor.rank_groups import least_of_all, meet
from sarathid.executor.rank_messages import RankConfig, RankFault, RankMessage, RankReady
from sarathid.executor.signs_of_life import give_signs_of_life
from sarathid.executor.stage_boundary import StageBoundary
from sarathid.executor.stage_loop import StageLoop
from sarathid.executor.stopwatch import Stopwatch
from sarathid.executor.unexpected import UnexpectedFault
from sarathid.models.layers.tensor_group import ALONE
from sarathid.models.model_files import resolve
from sarathid.protocol.codec import decode, encode


def main() -> int:
    """Run batches until the engine is gone; returns the process's exit code."""
    live_and_die_with_the_parent()
    config: RankConfig = decode(read_frame(sys.stdin.buffer), RankConfig)
    reports, turn = FrameSocket(socket.socket(fileno=config.reports)), threading.Lock()

    def say(message: RankMessage) -> None:
        with turn:
            reports.send(encode(message))

    give_signs_of_life(config.index, say)
    try:
        run(config, say)
    except SarathiError as error:
        say(RankFault(index=config.index, message=str(error), exit_code=error.exit_code))
        return error.exit_code
    except Exception:  # noqa: BLE001 - the engine is told, whatever it was
        fault = UnexpectedFault.caught()
        say(RankFault(index=config.index, message=str(fault), exit_code=1, trace=fault.for_log))
        return 1
    return 0


def run(config: RankConfig, say: Callable[[RankMessage], None]) -> None:
    """Load the rank's share, say that it is ready, and run it; raises what keeps it from that."""
    torch.set_num_threads(config.num_threads)
    engine, index = config.engine, config.index
    layout = Layout.of(engine)
    files = resolve(engine.model)
    rank = Rank(engine, files, layout, index)
    device, dtype = rank.placement.device, rank.placement.dtype
    num_affordable = rank.num_affordable_blocks  # before the others load, which they do when all have met
    group = meet(layout, index, config.meeting, device)
    plan = rank.plan_kv_cache(least_of_all(num_affordable, device))
    runner = rank.load(plan, config.num_threads, group or ALONE)
    boundary = StageBoundary(layout, index, group, files.config.hidden_size, dtype, device)
    clock = MonotonicClock()
    loop = StageLoop(
        index,
        runner,
        None if rank.share.has_embedding else boundary,
        None if rank.share.has_head else boundary,
        BatchReader(config.batches, config.arrivals, sys.stdin.fileno()),
        say,
        clock,
        Stopwatch(device, clock),
        speaks=rank.share.is_first_part,
    )
    gc.collect()
    gc.freeze()
    say(
        RankReady(
            index=index,
            pid=os.getpid(),
            device=str(device),
            dtype=dtype_name(dtype),
            quantization=rank.quantization,
            attention_backend=rank.kernels.attention.name,
            layer_kernels=type(rank.kernels.layers).__name__,
            num_blocks=plan.num_blocks,
            block_size=rank.block_size,
            max_model_len=plan.max_model_len,
            kv_cache_bytes=runner.storage.num_bytes,
            weight_bytes=rank.placement.num_weight_bytes,
            num_threads=config.num_threads,
            weights_origin=rank.weights_origin,
            weights_fault=rank.weights_fault,
            notes=rank.notes(plan),
        )
    )
    loop.run()


if __name__ == "__main__":
    sys.exit(main())
