"""Requests that go on behind what others computed say what they would say without."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from sarathid.clock import VirtualClock
from sarathid.config import EngineConfig
from sarathid.engine.assembly import build_core
from sarathid.executor.local import LocalExecutor
from sarathid.protocol.requests import FinishReason, Request, SamplingParams
from tests.factories import Engine, make_request
from tests.models.tiny import VOCAB_SIZE, save_tiny_model

BLOCK_SIZE = 8
NUM_ROUNDS = 4
MODELS: dict[str, dict[str, Any]] = {"Llama": {}, "Mistral": {"sliding_window": 24}}


def chat(model: Path, *, prefix_cache: bool, backend: str) -> tuple[list[list[int]], int]:
    """Return what a model answers in each of some rounds that end with its answers, and how many tokens it reused."""
    config = EngineConfig(
        model=str(model),
        device="cpu",
        num_threads=1,
        block_size=BLOCK_SIZE,
        kv_memory_bytes=1 << 22,
        max_model_len=256,
        token_budget=16,
        attention_backend=backend,
        slo_tbt=None,
        prefix_cache=prefix_cache,
    )
    executor = LocalExecutor(config)
    core = build_core(config, executor, executor.start(), VirtualClock())
    questions = torch.randint(1, VOCAB_SIZE, (NUM_ROUNDS, 13), generator=torch.Generator().manual_seed(1)).tolist()
    history: list[int] = []
    answers, num_cached_tokens = [], 0
    for index, question in enumerate(questions):
        history += question
        sampling = SamplingParams(max_tokens=20, temperature=0.0, ignore_eos=True)
        core.add(Request(request_id=index, prompt_token_ids=tuple(history), sampling=sampling))
        answer: list[int] = []
        while core.has_work:
            output = core.step()
            assert output is not None
            answer += [delta.token_id for delta in output.deltas if delta.token_id is not None]
            num_cached_tokens += sum(stats.num_cached_tokens for stats in output.finished)
        answers.append(answer)
        history += answer
    return answers, num_cached_tokens


@pytest.mark.parametrize("backend", ["cpu", "torch"])
@pytest.mark.parametrize("architecture", MODELS)
def test_a_chat_reuses_its_history_and_its_answers_are_the_same(
    tmp_path: Path, architecture: str, backend: str
) -> None:
    save_tiny_model(tmp_path, architecture, **MODELS[architecture])
    without, nothing = chat(tmp_path, prefix_cache=False, backend=backend)
    answers, num_cached_tokens = chat(tmp_path, prefix_cache=True, backend=backend)
    assert answers == without
    rounds: Sequence[int] = [33 * number - 1 for number in range(1, NUM_ROUNDS)]  # all but the last token is computed
    assert num_cached_tokens == sum(num_tokens // BLOCK_SIZE * BLOCK_SIZE for num_tokens in rounds)
    assert nothing == 0


def starts(engine: Engine) -> list[tuple[int, int, int]]:
    """Return each chunk of every iteration so far: its request, where it starts, and what was cached before it."""
    chunks = [chunk for stats in engine.iterations for chunk in stats.chunks]
    return [(chunk.request_id, chunk.start, chunk.num_cached_tokens) for chunk in chunks]


def test_what_is_cached_is_not_charged_to_the_budget() -> None:
    engine = Engine(prefix_cache=True, token_budget=16, block_size=4)
    engine.add(make_request(1, num_prompt_tokens=32, max_tokens=1, topic=7))
    engine.run()
    engine.add(make_request(2, num_prompt_tokens=40, max_tokens=1, topic=7))
    engine.add(make_request(3, num_prompt_tokens=6, max_tokens=1))
    engine.run()
    assert starts(engine) == [(1, 0, 0), (1, 16, 0), (2, 32, 32), (3, 0, 0)]


def test_a_request_that_runs_shares_what_it_has_computed_so_far() -> None:
    engine = Engine(prefix_cache=True, token_budget=16, block_size=4)
    engine.add(make_request(1, num_prompt_tokens=32, max_tokens=20, topic=7))
    engine.step()
    engine.add(make_request(2, num_prompt_tokens=32, max_tokens=20, topic=7))
    engine.step()
    engine.step()
    assert starts(engine) == [(1, 0, 0), (1, 16, 0), (2, 28, 28)]
    assert engine.iterations[-1].num_blocks_used == 9 + 1
    engine.run()
    assert engine.outputs[1] == engine.outputs[2]


def test_an_aborted_request_leaves_what_it_computed() -> None:
    engine = Engine(prefix_cache=True, token_budget=16, block_size=4)
    engine.add(make_request(1, num_prompt_tokens=40, topic=7))
    engine.step()
    engine.core.cancel(1, FinishReason.CANCELLED)
    engine.add(make_request(2, num_prompt_tokens=20, topic=7))
    engine.step()
    assert starts(engine)[-1] == (2, 16, 16)


def test_what_led_to_no_numbers_is_not_reused() -> None:
    engine = Engine(prefix_cache=True, token_budget=64, block_size=4)
    engine.executor.rows_without_numbers.add(1)
    for request_id in (1, 2, 3):
        engine.add(make_request(request_id, num_prompt_tokens=20, max_tokens=1, topic=7))
        engine.run()
    assert (engine.reasons[1], engine.reasons[2]) == (FinishReason.ERROR, FinishReason.LENGTH)
    assert starts(engine) == [(1, 0, 0), (2, 0, 0), (3, 16, 16)]


def test_the_last_round_of_a_long_chat_has_its_first_token_in_a_quarter_of_the_time() -> None:
    last_ttfts_s = {}
    for prefix_cache in (True, False):
        engine = Engine(prefix_cache=prefix_cache, token_budget=64, num_blocks=256, max_model_len=1000)
        for number in range(1, 9):
            engine.add(make_request(number, 100 * number, max_tokens=1, topic=7, arrival_s=engine.clock.now_s()))
            engine.run()
        last_ttfts_s[prefix_cache] = engine.iterations[-1].first_tokens[0].ttft_s
    assert last_ttfts_s[True] <= 0.25 * last_ttfts_s[False]


def test_requests_of_different_salts_share_nothing() -> None:
    engine = Engine(prefix_cache=True, token_budget=64, block_size=4)
    for request_id, salt in ((1, "alice"), (2, "bob"), (3, "alice")):
        engine.add(make_request(request_id, num_prompt_tokens=20, max_tokens=1, topic=7, cache_salt=salt))
        engine.run()
    assert starts(engine) == [(1, 0, 0), (2, 0, 0), (3, 16, 16)]


def test_a_preempted_request_goes_on_behind_what_is_left_of_it() -> None:
    engine = Engine(prefix_cache=True, num_blocks=6, block_size=2, max_model_len=12, token_budget=64)
    for request_id in (1, 2):
        engine.add(make_request(request_id, num_prompt_tokens=5, max_tokens=6))
    engine.run()
    assert [stats.preempted for stats in engine.iterations if stats.preempted] == [(2,)]
    resumed = starts(engine)[-1]
    assert resumed[0] == 2
    assert 0 < resumed[1] == resumed[2]
