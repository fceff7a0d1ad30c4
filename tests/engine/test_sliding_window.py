"""A model with a window keeps the blocks of its window alone, and says what it would say with all of them."""

from pathlib import Path

import pytest
import torch

from sarathid.clock import VirtualClock
from sarathid.config import EngineConfig
from sarathid.engine.assembly import build_core
from sarathid.executor.local import LocalExecutor
from sarathid.protocol.requests import Request, SamplingParams
from tests.models.tiny import VOCAB_SIZE, save_tiny_model

WINDOW = 24
BLOCK_SIZE = 8
NUM_PROMPT_TOKENS = 40
NUM_TOKENS = 60
BYTES_PER_BLOCK = 2 * 3 * 2 * 32 * 4 * BLOCK_SIZE


@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_blocks_before_the_window_serve_others(tmp_path: Path, backend: str) -> None:
    oracle = save_tiny_model(tmp_path, "Mistral", sliding_window=WINDOW, attn_implementation="eager")
    config = EngineConfig(
        model=str(tmp_path),
        device="cpu",
        dtype="float32",
        num_threads=1,
        block_size=BLOCK_SIZE,
        kv_memory_bytes=16 * BYTES_PER_BLOCK,  # 13 hold one sequence whole
        max_model_len=NUM_PROMPT_TOKENS + NUM_TOKENS,
        token_budget=16,
        attention_backend=backend,
        slo_tbt=None,
    )
    executor = LocalExecutor(config)
    core = build_core(config, executor, executor.start(), VirtualClock())
    prompts = torch.randint(1, VOCAB_SIZE, (3, NUM_PROMPT_TOKENS), generator=torch.Generator().manual_seed(1)).tolist()
    sampling = SamplingParams(max_tokens=NUM_TOKENS, temperature=0.0, ignore_eos=True)
    for index, prompt in enumerate(prompts):
        core.add(Request(request_id=index, prompt_token_ids=tuple(prompt), sampling=sampling, arrival_s=0.0))
    sequences, num_preempted = prompts, 0
    while core.has_work:
        output = core.step()
        assert output is not None and output.stats is not None
        num_preempted += len(output.stats.preempted)
        for delta in output.deltas:
            assert delta.token_id is not None
            sequences[delta.request_id].append(delta.token_id)
    assert num_preempted == 0
    for tokens in sequences:
        with torch.inference_mode():
            best = oracle(torch.tensor([tokens])).logits[0].argmax(-1)[NUM_PROMPT_TOKENS - 1 : -1]
        assert tokens[NUM_PROMPT_TOKENS:] == best.tolist()
