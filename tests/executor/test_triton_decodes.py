"""Captured sizes of decodes through our Triton kernels, interpreted, padding and all."""

from pathlib import Path
from typing import Literal

import pytest
import torch
from sarathi_kernels.select import Kernels

from sarathid.config import EngineConfig
from sarathid.executor.decode_graphs import DecodeSize, run_eagerly
from sarathid.executor.graph_plan import GraphPlan
from sarathid.executor.memory import KVPlan
from sarathid.executor.model_runner import ModelRunner
from sarathid.executor.rank import Rank
from sarathid.models.model_files import resolve
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput, ScheduledBatch, ScheduledSequence
from tests.kernels.interpreter import HAS_TRITON, triton_interpreter
from tests.models.tiny import save_tiny_model

if not HAS_TRITON:
    pytest.skip("Triton is not installed", allow_module_level=True)

with triton_interpreter():
    from sarathi_kernels.triton_attention import TritonAttention
    from sarathi_kernels.triton_layers import TritonLayers

NUM_BLOCKS, BLOCK_SIZE = 24, 16
GREEDY = SamplingInput(params=SamplingParams(temperature=0.0), num_output_tokens=0)
PROMPTS = ((5, 6, 7), tuple(range(40)), (9,) * 17)
TABLES = ((3,), (11, 2, 7), (0, 20))


@pytest.mark.parametrize("quantize", ["off", pytest.param("int8", marks=pytest.mark.long)])
@pytest.mark.parametrize("window", [20, pytest.param(None, marks=pytest.mark.long)])
def test_a_replay_gives_the_logits_of_the_pass(
    tmp_path: Path, quantize: Literal["off", "int8"], window: int | None
) -> None:
    save_tiny_model(tmp_path, "Mistral", num_hidden_layers=1, sliding_window=window)
    runner = load(tmp_path, quantize)
    prompts, decodes = (
        [sequence(index, tokens, first, TABLES[index]) for index, (tokens, first) in enumerate(found)]
        for found in ([(prompt, 0) for prompt in PROMPTS], [((7,), len(prompt)) for prompt in PROMPTS])
    )
    runner.run(ScheduledBatch(chunks=tuple(prompts)))
    for batch in (ScheduledBatch(decodes=tuple(decodes)), ScheduledBatch(decodes=(decodes[1],))):
        assert runner.inputs(batch).packed is not None
        found, expected = runner.logits(batch), runner.logits(batch, eagerly=True)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def load(path: Path, quantize: Literal["off", "int8"]) -> ModelRunner:
    """Return the model on Triton's kernels, with sizes of more rows and longer contexts than the batches have."""
    config = EngineConfig(
        model=str(path), device="cpu", dtype="float32", quantize=quantize, block_size=BLOCK_SIZE, kv_dtype="float32"
    )
    rank = Rank(config, resolve(str(path)), capture=run_eagerly)
    rank.kernels = Kernels(TritonAttention(), TritonLayers())
    rank.graph_plan = GraphPlan((DecodeSize(2, 128), DecodeSize(4, 128)))
    return rank.load(KVPlan(NUM_BLOCKS, 128), 1)


def sequence(index: int, token_ids: tuple[int, ...], first: int, block_ids: tuple[int, ...]) -> ScheduledSequence:
    return ScheduledSequence(
        request_id=index,
        token_ids=token_ids,
        first_position=first,
        block_ids=block_ids,
        sampling=GREEDY,
        num_output_tokens=int(first > 0),
    )
