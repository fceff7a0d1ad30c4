"""Ranks in processes of their own give what one process gives, and end together."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from sarathid.clock import MonotonicClock
from sarathid.commands.measured_profile import measured_profile
from sarathid.config import EngineConfig
from sarathid.costmodel.cost_profile import parse_profile, to_toml
from sarathid.costmodel.fit import fit
from sarathid.errors import EngineFailed, ModelRefused
from sarathid.executor.parallel import ParallelExecutor
from sarathid.executor.profiler import measurable, measure, measure_sends
from sarathid.models.model_files import resolve
from sarathid.models.share import ModelShare
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput, ScheduledBatch, ScheduledSequence
from tests.executor.greedy_run import MAX_LEN, GreedyJudge, make_requests, run_greedy
from tests.models.tiny import save_tiny_model

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-tied": ("Llama", {"tie_word_embeddings": True}),
    "mistral": ("Mistral", {"num_key_value_heads": 1, "sliding_window": 60}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {"num_key_value_heads": 6}),
    "falcon-7b": ("Falcon", {"new_decoder_architecture": False, "multi_query": True}),
    "falcon-180b": ("Falcon", {"new_decoder_architecture": True, "tie_word_embeddings": False}),
}
BLOCK_SIZE = 4
NUM_BLOCKS = 80  # of which twelve sequences would want more
GREEDY = SamplingInput(params=SamplingParams(temperature=0.0), num_output_tokens=0)
CHUNK = ScheduledBatch(
    chunks=(
        ScheduledSequence(request_id=1, token_ids=tuple(range(8)), first_position=0, block_ids=(3, 1), sampling=GREEDY),
    )
)


@pytest.fixture(scope="module")
def llama_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_family(tmp_path_factory.mktemp("models"), "llama-tied")


def save_family(directory: Path, family: str) -> Path:
    kind, changes = FAMILIES[family]
    save_tiny_model(directory / family, kind, **changes)
    return directory / family


def make_config(path: Path, **changes: Any) -> EngineConfig:
    bytes_per_token = ModelShare.whole(resolve(str(path)).config).kv_bytes_per_token(4)
    settings = {
        "model": str(path),
        "device": "cpu",
        "dtype": "float32",
        "num_threads": 1,
        "block_size": BLOCK_SIZE,
        "kv_memory_bytes": NUM_BLOCKS * BLOCK_SIZE * bytes_per_token,
        "max_model_len": MAX_LEN,
        "max_num_seqs": 12,
        "token_budget": 48,
        "slo_tbt": None,
        **changes,
    }
    return EngineConfig(**settings)


def check_layouts(path: Path, num_requests: int, *layouts: tuple[int, int]) -> None:
    """Compare every layout's greedy output with one process's, through preemptions and changes of the budget."""
    requests = make_requests(num_requests)
    judge = GreedyJudge(make_config(path), requests)
    assert judge.expected.num_preemptions > 0
    for tensor_parallel, pipeline_parallel in layouts:
        config = make_config(path, tensor_parallel=tensor_parallel, pipeline_parallel=pipeline_parallel)
        run = run_greedy(ParallelExecutor(config), config, requests)
        assert run.num_preemptions > 0
        assert judge.count_ties(run) <= num_requests // 100


def test_two_stages_of_two_ranks_say_what_one_process_says(llama_path: Path) -> None:
    check_layouts(llama_path, 40, (2, 2))


def test_two_ranks_say_to_the_word_what_one_process_says_in_8_bits(tmp_path: Path) -> None:
    save_tiny_model(tmp_path, intermediate_size=96)
    requests, config = make_requests(20), make_config(tmp_path, quantize="int8", tensor_parallel=2)
    judge = GreedyJudge(make_config(tmp_path, quantize="int8"), requests)
    run = run_greedy(ParallelExecutor(config), config, requests)
    assert run.outputs == judge.expected.outputs


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_layout_of_every_family_says_what_one_process_says(tmp_path: Path, family: str) -> None:
    check_layouts(save_family(tmp_path, family), 200, (2, 1), (1, 2), (1, 3), (2, 2))


class Group:
    """Two stages that have started, and their processes."""

    def __init__(self, path: Path) -> None:
        others = psutil.Process().children()
        self.told: list[str] = []
        self.ranks: list[psutil.Process] = []
        self.executor = ParallelExecutor(make_config(path, pipeline_parallel=2), self._on_awaited)
        self.info = self.executor.start()
        self.ranks = [child for child in psutil.Process().children() if child not in others]

    def _on_awaited(self, words: str) -> None:
        """Note whom the executor waits for, and have those that are stopped go on."""
        self.told.append(words)
        for rank in self.ranks:
            rank.send_signal(signal.SIGCONT)

    def run_chunk(self) -> tuple[int | None, ...]:
        self.executor.submit(CHUNK)
        return self.executor.collect().drawn.token_ids


@contextmanager
def started(path: Path) -> Iterator[Group]:
    """Give a group that has started; nothing is left of it afterwards."""
    before = os.listdir("/proc/self/fd")
    group = Group(path)
    try:
        yield group
    finally:
        group.executor.close()
        group.executor.close()
    assert not any(rank.is_running() for rank in group.ranks)
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.fixture(scope="module")
def group(llama_path: Path) -> Iterator[Group]:
    """A group that tests share; none of them ends it."""
    with started(llama_path) as group:
        yield group


def test_stages_tell_when_they_worked_and_listen_on_loopback_alone(group: Group) -> None:
    group.executor.submit(CHUNK)
    first, second = group.executor.collect().stages
    assert first.busy_s > 0.0 and second.busy_s > 0.0
    assert first.start_s < second.start_s
    assert group.info.layout == "tp=1 pp=2"
    assert group.info.num_blocks == NUM_BLOCKS
    listening = [c.laddr.ip for rank in group.ranks for c in rank.net_connections() if c.status == psutil.CONN_LISTEN]
    assert set(listening) == {"127.0.0.1"}


def test_as_many_batches_as_stages_are_in_flight(group: Group) -> None:
    assert group.executor.max_batches_in_flight == 2
    (token_id,) = group.run_chunk()
    for _ in range(3):
        group.executor.submit(CHUNK)
        group.executor.submit(CHUNK)
        assert group.executor.collect().drawn.token_ids == group.executor.collect().drawn.token_ids == (token_id,)


def test_a_layout_is_measured_in_itself(group: Group, llama_path: Path) -> None:
    config, model = make_config(llama_path, pipeline_parallel=2), resolve(str(llama_path)).config
    shapes = measurable(group.info, config.max_num_seqs, 32)
    samples = [measure(group.executor, group.info, shape, MonotonicClock()) for shape in shapes]
    sent = measure_sends(group.executor, group.info, 32)
    assert all(seconds > 0.0 for sample in samples for seconds in sample.stage_s)
    assert [stream.num_tokens for stream in sent] == [1, 16, 32]

    profile = measured_profile(config, group.info, model, fit(samples, model.num_layers), samples, sent)
    assert profile.name == "cpu/llama-tied-float32-tp1-pp2"
    assert profile.shape.stage_layers == (2, 1)
    assert (
        profile.num_blocks(BLOCK_SIZE) >= NUM_BLOCKS // 2
    )  # the ranks' caches in the mean, whose layers are not as many
    assert "each stage while all stages worked" in profile.provenance.derivation
    assert parse_profile(to_toml(profile), "pp2.toml") == profile


def test_a_rank_that_is_killed_ends_a_batch_in_flight(llama_path: Path) -> None:
    with started(llama_path) as group:
        group.ranks[0].send_signal(signal.SIGKILL)
        group.executor.submit(CHUNK)
        with pytest.raises(EngineFailed, match="rank 0 was killed by SIGKILL"):
            group.executor.collect()


def test_a_rank_that_is_killed_while_idle_is_noticed_when_it_is_asked(llama_path: Path) -> None:
    with started(llama_path) as group:
        group.executor.probe()
        group.ranks[1].send_signal(signal.SIGKILL)
        with pytest.raises(EngineFailed, match="rank 1 was killed by SIGKILL"):
            group.executor.probe()


@pytest.mark.parametrize("victim", range(2))
def test_a_rank_that_is_stopped_is_named_and_waited_for(group: Group, victim: int) -> None:
    group.executor.probe()
    group.told.clear()
    group.ranks[victim].send_signal(signal.SIGSTOP)
    group.run_chunk()
    assert group.told[0] == f"rank {victim} of tp=1 pp=2, silent"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tensor_parallel": 4}, "6 attention heads do not divide among 4 ranks"),
        ({"pipeline_parallel": 4}, "3 layers do not divide among 4 stages"),
        ({"pipeline_parallel": 2, "kv_memory_bytes": 1000}, "a sequence of 96 tokens"),
    ],
)
def test_what_can_not_be_is_refused_in_words(llama_path: Path, changes: dict[str, Any], words: str) -> None:
    executor = ParallelExecutor(make_config(llama_path, **changes))
    try:
        with pytest.raises(ModelRefused, match=words):
            executor.start()
    finally:
        executor.close()
