"""The local executor: starts, runs what it is given in order, refuses what it can't serve."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sarathid.config import EngineConfig
from sarathid.errors import ConfigError, ModelRefused
from sarathid.executor.local import LocalExecutor
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput, ScheduledBatch, ScheduledSequence
from tests.models.tiny import MAX_POSITIONS, VOCAB_SIZE, save_tiny_model

GREEDY = SamplingInput(params=SamplingParams(temperature=0.0), num_output_tokens=0)


@pytest.fixture(scope="module")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "tiny"
    save_tiny_model(directory)
    return directory


def make_config(path: Path, **changes: Any) -> EngineConfig:
    return EngineConfig(
        **{"model": str(path), "device": "cpu", "kv_memory_bytes": 1 << 20, "num_threads": 1, **changes}
    )


def run_chunk(
    executor: LocalExecutor, token_ids: tuple[int, ...], sampling: SamplingInput | None
) -> tuple[int | None, ...]:
    sequence = ScheduledSequence(
        request_id=1, token_ids=token_ids, first_position=0, block_ids=(3, 1), sampling=sampling
    )
    executor.submit(ScheduledBatch(chunks=(sequence,)))
    return executor.collect().drawn.token_ids


def test_loading_it_loads_no_compiler_of_torch() -> None:
    code = "import sys, sarathid.executor.local; sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_is_written_to_a_models_directory(tiny_path: Path) -> None:
    def standing() -> dict[str, tuple[int, int, int]]:
        found = {path: path.stat() for path in (tiny_path, *tiny_path.iterdir())}
        return {str(path): (stat.st_size, stat.st_mtime_ns, stat.st_mode) for path, stat in found.items()}

    before = standing()
    executor = LocalExecutor(make_config(tiny_path))
    executor.start()
    run_chunk(executor, (5, 6, 7), GREEDY)
    executor.close()
    assert standing() == before


def test_it_says_what_it_found(tiny_path: Path) -> None:
    executor = LocalExecutor(make_config(tiny_path))
    info = executor.start()
    executor.close()
    executor.close()
    bytes_per_token = 2 * 3 * 2 * 32 * 2
    assert (info.model, info.device, info.dtype, info.attention_backend) == ("tiny", "cpu", "float32", "cpu")
    assert (info.vocab_size, info.max_model_len, info.eos_token_ids) == (VOCAB_SIZE, MAX_POSITIONS, frozenset({2}))
    assert info.num_blocks == (1 << 20) // (16 * bytes_per_token)
    assert info.kv_cache_bytes == info.num_blocks * 16 * bytes_per_token
    assert info.isolated_decode_s > 0.0
    assert info.num_threads == 1


def test_it_draws_for_rows_that_sample_only(tiny_path: Path) -> None:
    executor = LocalExecutor(make_config(tiny_path))
    executor.start()
    assert run_chunk(executor, (5, 6, 7), None) == ()
    (token_id,) = run_chunk(executor, (5, 6, 7), GREEDY)
    assert token_id is not None and 0 <= token_id < VOCAB_SIZE
    assert run_chunk(executor, (5, 6, 7), GREEDY) == (token_id,)


@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_every_backend_draws_the_same(tiny_path: Path, backend: str) -> None:
    drawn = []
    for name in ("cpu", backend):
        executor = LocalExecutor(make_config(tiny_path, attention_backend=name))
        assert executor.start().attention_backend == name
        drawn.append(run_chunk(executor, tuple(range(20)), GREEDY))
    assert drawn[0] == drawn[1]


def test_half_precision_runs_on_torch_and_says_so(tiny_path: Path) -> None:
    executor = LocalExecutor(make_config(tiny_path, dtype="bfloat16"))
    info = executor.start()
    (token_id,) = run_chunk(executor, tuple(range(20)), GREEDY)
    assert (info.dtype, info.attention_backend) == ("bfloat16", "torch")
    assert any("bfloat16" in note for note in info.notes)
    assert token_id is not None


def test_dummy_weights_run_without_a_file_of_weights(tiny_path: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_path / "config.json").read_bytes())
    executor = LocalExecutor(make_config(tmp_path, load_format="dummy"))
    info = executor.start()
    (token_id,) = run_chunk(executor, tuple(range(20)), GREEDY)
    assert token_id is not None
    assert any("random numbers" in note for note in info.notes)


@pytest.mark.parametrize("quantize", ["int8", "int4"])
def test_quantized_weights_take_less_and_say_so(tmp_path: Path, quantize: str) -> None:
    save_tiny_model(tmp_path, intermediate_size=160)
    plain, quantized = (LocalExecutor(make_config(tmp_path, quantize=kind)).start() for kind in ("off", quantize))
    assert quantized.weight_bytes < plain.weight_bytes
    assert any(f"are {quantize}" in note for note in quantized.notes)


def test_keys_and_values_take_half_beside_quantized_weights(tmp_path: Path) -> None:
    save_tiny_model(tmp_path, intermediate_size=160)
    kinds = (("off", "auto"), ("int8", "auto"), ("int8", "float32"), ("off", "float16"))
    found = [LocalExecutor(make_config(tmp_path, quantize=q, kv_dtype=kv)).start() for q, kv in kinds]
    assert [info.num_blocks / found[0].num_blocks for info in found] == pytest.approx([1, 2, 1, 2], rel=0.02)
    assert [any("kept in float16" in note for note in info.notes) for info in found] == [False, True, False, True]


@pytest.mark.parametrize("attention_backend", ["reference", "torch"])
def test_other_kernels_read_halves_too_where_they_are_asked_for(tmp_path: Path, attention_backend: str) -> None:
    save_tiny_model(tmp_path, intermediate_size=160)
    drawn = []
    for kind in ({"kv_dtype": "float16"}, {}):
        executor = LocalExecutor(make_config(tmp_path, attention_backend=attention_backend, quantize="int8", **kind))
        assert any("kept in float16" in note for note in executor.start().notes) == bool(kind)
        drawn.append(run_chunk(executor, tuple(range(20)), GREEDY))
    assert drawn[0] == drawn[1]


def test_a_small_cache_cuts_the_length_and_says_so(tiny_path: Path) -> None:
    info = LocalExecutor(make_config(tiny_path, kv_memory_bytes=50_000)).start()
    assert info.max_model_len == 64
    assert any("64 of the model's 256" in note for note in info.notes)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"kv_memory_bytes": 50_000, "max_model_len": 200}, ModelRefused, "a sequence of 200 tokens"),
        ({"device": "cuda"}, ConfigError, "no CUDA device"),
        ({"device": "abacus"}, ConfigError, "not one of auto, cpu, cuda"),
        ({"dtype": "int4"}, ConfigError, "not one of auto, float32"),
        ({"attention_backend": "quick"}, ConfigError, "not one of auto, cpu"),
        ({"model": "nobody/has-this"}, ModelRefused, "smollm2-135m"),
    ],
)
def test_what_can_not_be_is_refused_in_words(
    tiny_path: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        LocalExecutor(make_config(tiny_path, **changes)).start()


def test_notes_say_that_decodes_are_slower_without_a_compiler(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    info = LocalExecutor(make_config(tiny_path)).start()
    assert info.attention_backend == "torch"
    assert any("no C++ compiler" in note for note in info.notes)
