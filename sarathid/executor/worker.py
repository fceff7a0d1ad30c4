"""The work of a rank, from its configuration to its last batch."""

import gc
import os
import sys
from collections.abc import Callable

import torch

from sarathid.clock import MonotonicClock
from sarathid.executor.batch_memory import BatchReader
from sarathid.executor.layout import Layout
from sarathid.executor.rank import Rank, dtype_name
from sarathid.executor.rank_groups import least_of_all, meet
from sarathid.executor.rank_messages import RankConfig, RankMessage, RankReady
from sarathid.executor.stage_boundary import StageBoundary
from sarathid.executor.stage_loop import StageLoop
from sarathid.executor.stopwatch import Stopwatch
from sarathid.models.layers.tensor_group import ALONE
from sarathid.models.model_files import resolve


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
