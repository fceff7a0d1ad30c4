"""Greedy tokens of a model that is cut into parts and stages, each rank on a GPU of its own."""

from pathlib import Path

import msgspec
import torch

from sarathid.config import EngineConfig
from sarathid.executor.layout import Layout
from sarathid.executor.parallel import ParallelExecutor
from tests.executor.greedy_run import MAX_LEN, GreedyJudge, make_requests, run_greedy
from tests.gpu.report import Row, Verdict
from tests.models.tiny import save_tiny_model

LAYOUTS = (Layout(2, 1), Layout(1, 2), Layout(2, 2))
NUM_REQUESTS = 24


def check_layout(device: torch.device, layout: Layout, directory: Path) -> Row:
    """Return whether ranks in float32 give the tokens of one process on `device`, but for ties within rounding.

    Requests come as they please and the budget changes, so that several batches are in flight.
    """
    what, num_gpus = f"greedy tokens over {layout}", torch.cuda.device_count()
    if device.type == "cuda" and num_gpus < layout.num_ranks:
        return Row(what, Verdict.NOT_AVAILABLE, f"it takes {layout.num_ranks} GPUs, and there are {num_gpus}")
    save_tiny_model(directory, head_dim=64)
    alone = EngineConfig(
        model=str(directory), device=device.type, dtype="float32", max_model_len=MAX_LEN, max_num_seqs=8, slo_tbt=None
    )
    among = msgspec.structs.replace(alone, tensor_parallel=layout.num_parts, pipeline_parallel=layout.num_stages)
    requests = make_requests(NUM_REQUESTS)
    judge = GreedyJudge(alone, requests)
    try:
        num_ties = judge.count_ties(run_greedy(ParallelExecutor(among), among, requests))
    except AssertionError as error:
        return Row(what, Verdict.FAILED, f"(request, place, found, expected) {error}")
    return Row(what, Verdict.PASSED, f"{NUM_REQUESTS} requests as one process, {num_ties} of them after a tie")
