"""Perplexity is what transformers' loss says, at any length, and the command prints it for each kind of weight."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from sarathid.commands.models import app
from sarathid.config import EngineConfig
from sarathid.errors import ConfigError
from sarathid.executor.local import LocalExecutor
from sarathid.executor.perplexity import perplexity
from tests.models.tiny import VOCAB_SIZE, save_speaking_model, save_tiny_model


@pytest.mark.parametrize("num_tokens", [2, 128, 129, 130, 200])
def test_it_is_e_to_the_loss_of_transformers(tmp_path: Path, num_tokens: int) -> None:
    oracle = save_tiny_model(tmp_path)
    token_ids = torch.randint(VOCAB_SIZE, (num_tokens,), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = oracle(token_ids.unsqueeze(0), labels=token_ids.unsqueeze(0)).loss.exp()
    config = EngineConfig(model=str(tmp_path), device="cpu", dtype="float32", num_threads=1, kv_memory_bytes=1 << 20)
    executor = LocalExecutor(config)
    info = executor.start()
    assert perplexity(executor.runner, token_ids.tolist(), info.block_size) == pytest.approx(float(expected), rel=1e-4)


@pytest.fixture
def speaking_path(tmp_path: Path) -> Path:
    """A tiny model whose words are the numbers of its tokens."""
    return save_speaking_model(tmp_path, intermediate_size=160)


def test_the_command_compares_weights_on_a_text(speaking_path: Path) -> None:
    text = speaking_path / "text"
    text.write_text(" ".join(str(index * 7 % VOCAB_SIZE) for index in range(100)))
    result = CliRunner().invoke(app, ["perplexity", str(speaking_path), "--text", str(text)])
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == ["float32", "int8", "int4"]
    plain, *rounded = (float(row[1]) for row in rows)
    assert [f"{found / plain - 1.0:+.1%}" for found in rounded] == [
        f"{float(row[2][:-1]) / 100:+.1%}" for row in rows[1:]
    ]
    assert all(found != plain for found in rounded)


@pytest.mark.long
def test_quantizing_the_default_model_costs_little(smollm2_path: Path) -> None:
    result = CliRunner().invoke(app, ["perplexity", str(smollm2_path)])
    plain, int8, int4 = (float(line.split("\t")[1]) for line in result.stdout.splitlines())
    assert abs(int8 / plain - 1.0) < 0.01
    assert abs(int4 / plain - 1.0) < 0.05


def test_a_text_of_one_token_is_refused(speaking_path: Path) -> None:
    (speaking_path / "text").write_text("1")
    result = CliRunner().invoke(app, ["perplexity", str(speaking_path), "--text", str(speaking_path / "text")])
    assert isinstance(result.exception, ConfigError) and "there must be two" in str(result.exception)
