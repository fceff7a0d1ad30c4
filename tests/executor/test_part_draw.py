"""Ranks that have parts of the vocabulary draw what one with all of it draws, and gather as little as that takes."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

from sarathid.executor.layout import Layout
from sarathid.executor.logprobs import draw
from sarathid.executor.part_draw import draw_of_parts
from sarathid.models.decoder import Decoder
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import Drawn, SamplingInput
from tests.models.sharded_model import ShardedModel, ThreadGroup
from tests.models.tiny import VOCAB_SIZE, save_tiny_model

GREEDY: dict[str, Any] = {"temperature": 0.0}
MIXED: tuple[dict[str, Any], ...] = (
    GREEDY,
    {"top_k": 5, "top_p": 0.8},
    {},
    {"top_k": 40, "min_p": 0.01},
    GREEDY | {"logprobs": 2},
    GREEDY | {"logit_bias": {3: 2.0}},
    {"top_k": 90},
)


@pytest.fixture(scope="module", params=[2, 6])
def parts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Decoder]]:
    """The ranks of a model, whose last has fewer words than the others."""
    path = tmp_path_factory.mktemp("model")
    save_tiny_model(path, num_key_value_heads=6, intermediate_size=96)
    model = ShardedModel(path, Layout(request.param))
    yield model.models
    model.close()


def make_inputs(kinds: Sequence[dict[str, Any]], seed: int) -> list[SamplingInput]:
    return [
        SamplingInput(params=SamplingParams(seed=seed + row, **kind), num_output_tokens=row)
        for row, kind in enumerate(kinds)
    ]


def drawn_by(parts: Sequence[Decoder], logits: Tensor, inputs: Sequence[SamplingInput]) -> Drawn:
    """Return what the first rank draws where each has its words of `logits`."""

    def run(model: Decoder) -> Drawn:
        words = model.share.vocabulary
        return draw_of_parts(model, logits[:, words.start : words.stop].clone(), inputs)

    with ThreadPoolExecutor(len(parts)) as pool:
        return next(iter(pool.map(run, parts)))


@pytest.mark.parametrize("seed", range(8))
def test_parts_draw_what_the_whole_draws_ties_included(parts: list[Decoder], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(len(MIXED), VOCAB_SIZE, generator=generator) * 4.0).round()  # so that many are equal
    inputs = make_inputs(MIXED, seed)

    found, expected = drawn_by(parts, logits, inputs), draw(logits.clone(), inputs)

    assert found.token_ids == expected.token_ids
    assert found.logprobs == expected.logprobs


def test_a_row_that_holds_no_numbers_gives_no_token(parts: list[Decoder]) -> None:
    logits = torch.zeros(4, VOCAB_SIZE)
    logits[0, 50] = torch.nan
    logits[1, 96] = torch.inf
    logits[2] = -torch.inf
    inputs = make_inputs((GREEDY, {"top_k": 3}, GREEDY, GREEDY), 0)

    assert drawn_by(parts, logits, inputs).token_ids == (None, None, None, 0)


def test_greedy_rows_gather_two_numbers_a_rank(parts: list[Decoder], monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[torch.Size] = []
    gather = ThreadGroup.gather

    def note(group: ThreadGroup, part: Tensor, num_columns: int) -> Tensor | None:
        gathered.append(part.shape)
        return gather(group, part, num_columns)

    monkeypatch.setattr(ThreadGroup, "gather", note)
    drawn_by(parts, torch.randn(8, VOCAB_SIZE), make_inputs([GREEDY] * 8, 0))

    assert gathered == [torch.Size((8, 2))] * len(parts)
