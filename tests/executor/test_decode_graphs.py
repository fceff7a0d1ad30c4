"""Decodes run in captured passes as they would alone: the same numbers, and nobody else's blocks are touched."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from sarathid.config import EngineConfig
from sarathid.errors import ConfigError
from sarathid.executor.decode_graphs import DecodeSize, Run, decode_sizes, run_eagerly
from sarathid.executor.graph_memory import graph_bytes
from sarathid.executor.graph_plan import GraphPlan
from sarathid.executor.layout import Layout
from sarathid.executor.local import LocalExecutor
from sarathid.executor.memory import KVPlan
from sarathid.executor.model_runner import ModelRunner
from sarathid.executor.rank import Rank
from sarathid.models.model_files import resolve
from sarathid.models.share import ModelShare
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput, ScheduledBatch, ScheduledSequence
from tests.executor.greedy_run import MAX_LEN, make_requests, run_greedy
from tests.models.tiny import VOCAB_SIZE, save_tiny_model

BLOCK_SIZE = 4
NUM_BLOCKS = 64
SIZES = (DecodeSize(1, 8), DecodeSize(1, 64), DecodeSize(4, 8), DecodeSize(4, 64))
GREEDY = SamplingInput(params=SamplingParams(temperature=0.0), num_output_tokens=0)


@pytest.fixture(scope="module", params=["Llama", "Falcon", "window"])
def model_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("models") / request.param
    if request.param == "window":
        save_tiny_model(path, "Mistral", sliding_window=5)
    else:
        save_tiny_model(path, request.param)
    return path


def make_config(path: Path, **changes: Any) -> EngineConfig:
    defaults = {"device": "cpu", "dtype": "float32", "num_threads": 1, "block_size": BLOCK_SIZE}
    return EngineConfig(model=str(path), **{**defaults, **changes})


def load(path: Path, layout: Layout | None = None, index: int = 0, **changes: Any) -> ModelRunner:
    """Return a share whose decodes are captured in `SIZES`, with nothing in its KV cache."""
    rank = Rank(make_config(path, **changes), resolve(str(path)), layout, index, run_eagerly)
    rank.graph_plan = GraphPlan(SIZES)
    return rank.load(KVPlan(NUM_BLOCKS, 128), 1)


def decode(index: int, token_id: int, context_len: int, block_ids: Sequence[int]) -> ScheduledSequence:
    return ScheduledSequence(
        request_id=index,
        token_ids=(token_id,),
        first_position=context_len - 1,
        block_ids=tuple(block_ids),
        sampling=GREEDY,
        num_output_tokens=1,
    )


def prompt(index: int, token_ids: Sequence[int], block_ids: Sequence[int]) -> ScheduledSequence:
    return ScheduledSequence(
        request_id=index, token_ids=tuple(token_ids), first_position=0, block_ids=tuple(block_ids), sampling=GREEDY
    )


def make_batches(lengths: Sequence[int], seed: int = 0) -> tuple[ScheduledBatch, ScheduledBatch]:
    """Return prompts of these lengths in blocks of their own, and the decodes behind them."""
    random = Random(seed)
    free = random.sample(range(NUM_BLOCKS), NUM_BLOCKS)
    prompts, decodes = [], []
    for index, length in enumerate(lengths):
        table = [free.pop() for _ in range(length // BLOCK_SIZE + 1)]
        prompts.append(prompt(index, random.choices(range(VOCAB_SIZE), k=length), table))
        decodes.append(decode(index, random.randrange(VOCAB_SIZE), length + 1, table))
    return ScheduledBatch(chunks=tuple(prompts)), ScheduledBatch(decodes=tuple(decodes))


def decodes_behind_prompts(runner: ModelRunner, lengths: Sequence[int], seed: int = 0) -> ScheduledBatch:
    """Run the prompts, and return the decodes."""
    prompts, decodes = make_batches(lengths, seed)
    runner.run(prompts)
    return decodes


@pytest.mark.parametrize("lengths", [(3,), (9,), (2, 3), (2, 30), (1, 2, 3), (5, 12, 7, 40)], ids=str)
def test_a_replay_gives_the_logits_of_the_pass(model_path: Path, lengths: tuple[int, ...]) -> None:
    runner = load(model_path)
    batch = decodes_behind_prompts(runner, lengths)
    assert runner.inputs(batch).packed is not None
    assert torch.equal(runner.logits(batch), runner.logits(batch, eagerly=True))


@pytest.mark.parametrize("quantize", ["off", "int8"])
def test_sizes_may_follow_each_other_in_any_order(tmp_path: Path, quantize: str) -> None:
    save_tiny_model(tmp_path)
    runner = load(tmp_path, quantize=quantize)
    for seed, lengths in enumerate([(5, 6, 7), (3,), (20, 2), (1, 1, 1, 1), (50,), (2,)]):
        batch = decodes_behind_prompts(runner, lengths, seed)
        assert torch.equal(runner.logits(batch), runner.logits(batch, eagerly=True))


def test_what_a_replay_gave_is_not_overwritten_by_the_next(tmp_path: Path) -> None:
    save_tiny_model(tmp_path)
    runner = load(tmp_path)
    one, other = (decodes_behind_prompts(runner, (length,), length).decodes[0] for length in (5, 6))
    passes = [runner.inputs(ScheduledBatch(decodes=(sequence,))) for sequence in (one, other)]
    first = runner.forward(passes[0], None)
    before = first.clone()
    runner.forward(passes[1], None)
    assert torch.equal(first, before)


def test_rows_of_padding_touch_no_block_of_a_sequence(model_path: Path) -> None:
    runner = load(model_path)
    batch = decodes_behind_prompts(runner, (6, 7, 9))

    def written(*, eagerly: bool) -> Tensor:
        runner.logits(batch, eagerly=eagerly)
        return torch.stack([layer.k[:NUM_BLOCKS] + layer.v[:NUM_BLOCKS] for layer in runner.storage.layers])

    assert torch.equal(written(eagerly=True), written(eagerly=False))


def test_other_batches_run_operation_by_operation(tmp_path: Path) -> None:
    save_tiny_model(tmp_path)
    runner = load(tmp_path)
    many = decodes_behind_prompts(runner, (1, 2, 3, 4, 5))
    long = decodes_behind_prompts(runner, (64,))
    mixed = ScheduledBatch(decodes=many.decodes[:1], chunks=(prompt(9, (1, 2), (60,)),))
    assert [runner.inputs(batch).packed for batch in (many, long, mixed)] == [None] * 3


def test_a_stage_takes_the_stream_of_the_one_before(model_path: Path) -> None:
    whole, *stages = (load(model_path), *(load(model_path, Layout(1, 2), index) for index in (0, 1)))
    prompts, decodes = make_batches((5, 9, 30))

    def through(ranks: Sequence[ModelRunner], batch: ScheduledBatch) -> Tensor | None:
        hidden = None
        for rank in ranks:
            hidden = rank.forward(rank.inputs(batch), hidden)
        return hidden

    for batch in (prompts, decodes):
        found, expected = through(stages, batch), through([whole], batch)
        assert found is not None and expected is not None and torch.equal(found, expected)
    assert stages[1].inputs(decodes).packed is not None


def test_an_engine_gives_the_same_answers_with_preemptions(model_path: Path) -> None:
    bytes_per_token = ModelShare.whole(resolve(str(model_path)).config).kv_bytes_per_token(4)
    config = make_config(
        model_path,
        max_num_seqs=8,
        max_model_len=MAX_LEN,
        slo_tbt=None,
        kv_memory_bytes=40 * BLOCK_SIZE * bytes_per_token,
    )
    requests = make_requests(16)
    expected = run_greedy(LocalExecutor(config), config, requests)
    found = run_greedy(LocalExecutor(config, capture=run_eagerly), config, requests)
    assert found.outputs == expected.outputs
    assert found.num_preemptions > 0 or model_path.name == "window"  # which gives blocks back


def test_a_pass_that_is_captured_wrongly_is_not_used_and_said_to_be(tmp_path: Path) -> None:
    save_tiny_model(tmp_path)

    def capture_wrongly(run: Run) -> Run:
        return lambda: run() * 1.5

    config = make_config(tmp_path, max_num_seqs=2)
    info = LocalExecutor(config, capture=capture_wrongly).start()
    assert any("one by one" in note and "gives other numbers" in note for note in info.notes)
    with pytest.raises(ConfigError, match="on can't be: a captured pass of 2 decodes gives other numbers"):
        LocalExecutor(make_config(tmp_path, max_num_seqs=2, cuda_graphs="on"), capture=capture_wrongly).start()


def test_a_device_that_refuses_is_quoted(tmp_path: Path) -> None:
    save_tiny_model(tmp_path)

    def refuse(run: Run) -> Run:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    info = LocalExecutor(make_config(tmp_path), capture=refuse).start()
    assert any(note.endswith("operation not permitted when stream is capturing") for note in info.notes)


def test_it_says_how_many_there_are(tmp_path: Path) -> None:
    save_tiny_model(tmp_path)
    notes = LocalExecutor(make_config(tmp_path, max_num_seqs=3), capture=run_eagerly).start().notes
    assert any("up to 4 decodes of up to 256 positions run as one of 3 CUDA graphs" in note for note in notes)


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_nothing_is_captured_without_a_gpu(tmp_path: Path, mode: str) -> None:
    save_tiny_model(tmp_path)
    info = LocalExecutor(make_config(tmp_path, cuda_graphs=mode)).start()
    assert not any("CUDA" in note for note in info.notes)


def test_it_can_not_be_asked_for_without_a_gpu(tmp_path: Path) -> None:
    save_tiny_model(tmp_path)
    with pytest.raises(ConfigError, match="--cuda-graphs on can't be: cpu has none"):
        LocalExecutor(make_config(tmp_path, cuda_graphs="on")).start()


def test_sizes_go_up_to_what_holds_all_sequences_and_the_longest_of_them() -> None:
    assert decode_sizes(3, 1000) == tuple(DecodeSize(num_rows, 1000) for num_rows in (1, 2, 4))
    assert decode_sizes(100, 5000)[-2:] == (DecodeSize(112, 2048), DecodeSize(112, 5000))
    assert decode_sizes(4096, 1 << 20)[-1] == DecodeSize(256, 16384)
    assert max(size.num_rows for size in decode_sizes(128, 2048, most_rows=64)) == 64


def test_more_and_larger_ones_are_reckoned_to_take_more(tmp_path: Path) -> None:
    save_tiny_model(tmp_path)
    share = ModelShare.whole(resolve(str(tmp_path)).config)
    few, many = (graph_bytes(share, 4, decode_sizes(num_seqs, 256)) for num_seqs in (4, 64))
    assert graph_bytes(share, 4, ()) == 0 < few < many


def test_no_context_is_captured_that_the_kv_cache_can_not_hold(tmp_path: Path) -> None:
    save_tiny_model(tmp_path)
    bytes_per_token = ModelShare.whole(resolve(str(tmp_path)).config).kv_bytes_per_token(4)
    config = make_config(tmp_path, max_num_seqs=1, kv_memory_bytes=100 * bytes_per_token)
    info = LocalExecutor(config, capture=run_eagerly).start()
    assert info.max_model_len == 100
    assert any("up to 1 decodes of up to 100 positions" in note for note in info.notes)
