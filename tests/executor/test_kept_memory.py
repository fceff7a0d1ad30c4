"""What an engine leaves in its KV cache is there for the next one of the same model, and for no other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sarathid.config import EngineConfig
from sarathid.executor.kept_memory import KeptCache, KeptMemory, mark_of
from sarathid.executor.local import LocalExecutor
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput, ScheduledBatch, ScheduledSequence
from tests.models.tiny import save_tiny_model

MARK, OTHER = mark_of("model", 1), mark_of("model", 2)
PROMPT = tuple(range(3, 40))
AS_IT_WAS = "the KV cache is as the engine before left it"


@pytest.fixture
def kept() -> Iterator[KeptMemory]:
    memory = KeptMemory.create()
    yield memory
    memory.close()


def test_a_cache_is_found_under_its_mark_alone(kept: KeptMemory) -> None:
    room = kept.open(num_blocks=3, num_bytes=100)
    room[:4] = b"abcd"
    kept.sign(MARK, KeptCache(3, 0.25))
    again = KeptMemory(kept.descriptor)

    assert again.find(MARK) == KeptCache(3, 0.25)
    assert bytes(again.open(3, 100)[:4]) == b"abcd"
    assert again.find(OTHER) is None
    assert again.find(MARK) is None, "what another model would overwrite is let go"


def test_a_cache_that_was_never_signed_is_not_found(kept: KeptMemory) -> None:
    kept.open(num_blocks=3, num_bytes=100)
    assert kept.find(MARK) is None


def start(path: Path, kept: KeptMemory, **changes: Any) -> tuple[LocalExecutor, tuple[str, ...]]:
    config = EngineConfig(model=str(path), device="cpu", kv_memory_bytes=1 << 20, num_threads=1, **changes)
    executor = LocalExecutor(config, KeptMemory(kept.descriptor))
    return executor, executor.start().notes


def next_token(executor: LocalExecutor, token_ids: tuple[int, ...], first_position: int) -> int | None:
    executor.submit(
        ScheduledBatch(
            chunks=(
                ScheduledSequence(
                    request_id=1,
                    token_ids=token_ids,
                    first_position=first_position,
                    block_ids=(3, 1, 2),
                    sampling=SamplingInput(params=SamplingParams(temperature=0.0), num_output_tokens=0),
                ),
            )
        )
    )
    (token_id,) = executor.collect().drawn.token_ids
    return token_id


def test_another_engine_goes_on_behind_blocks_that_it_did_not_compute(kept: KeptMemory, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "tiny")
    first, first_notes = start(tmp_path / "tiny", kept)
    undisturbed = next_token(first, PROMPT, 0)
    second, notes = start(tmp_path / "tiny", kept)

    assert AS_IT_WAS not in first_notes
    assert AS_IT_WAS in notes
    assert next_token(second, PROMPT[32:], 32) == undisturbed


def test_nothing_is_taken_over_from_other_weights_or_into_another_shape(kept: KeptMemory, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "tiny")
    start(tmp_path / "tiny", kept)
    assert AS_IT_WAS not in start(tmp_path / "tiny", kept, block_size=8)[1]
    assert AS_IT_WAS in start(tmp_path / "tiny", kept, block_size=8)[1]

    (weights,) = (tmp_path / "tiny").glob("*.safetensors")
    weights.touch()
    assert AS_IT_WAS not in start(tmp_path / "tiny", kept, block_size=8)[1]
