"""The load generator against an HTTP API without a model."""

import asyncio
import random
from pathlib import Path

import pytest

from sarathictl.bench.load import InterferenceLoad, InterferencePlan
from sarathictl.bench.trace import LoadTrace, Role
from sarathid.errors import SarathiError
from tests.sarathictl.bench.stub_api import PROMPT_LEN, StubAPI

PLAN = InterferencePlan(
    num_streams=3,
    num_stream_prompt_tokens=4,
    num_prompt_tokens=PROMPT_LEN,
    num_prompt_output_tokens=2,
    period_s=0.1,
    first_prompt_s=0.01,
    duration_s=0.2,
)


def run(api: StubAPI, directory: Path, plan: InterferencePlan = PLAN) -> LoadTrace:
    async def main() -> LoadTrace:
        async with await api.serve(directory / "api.sock"):
            rng = random.Random(plan.seed)
            return await InterferenceLoad(directory / "api.sock", plan, rng, vocab_size=50, max_model_len=100).run()

    return asyncio.run(main())


def test_every_stream_and_every_prompt_is_followed_token_by_token(tmp_path: Path) -> None:
    api = StubAPI()

    load = run(api, tmp_path)

    assert [len(request.token_times_s) for request in load.of(Role.STREAM)] == [3, 3, 3]
    assert [len(request.token_times_s) for request in load.of(Role.PROMPT)] == [2, 2]
    assert list(load.failed) == []
    assert load.duration_s >= PLAN.duration_s
    assert len(api.bodies) == 5


def test_requests_ask_for_token_ids_of_the_planned_lengths(tmp_path: Path) -> None:
    api = StubAPI()

    run(api, tmp_path)

    assert sorted((len(body["prompt"]), body["max_tokens"]) for body in api.bodies) == [(4, 96)] * 3 + [(40, 2)] * 2
    assert all(body["ignore_eos"] and body["return_token_ids"] and body["stream"] for body in api.bodies)
    assert all(0 <= token_id < 50 for body in api.bodies for token_id in body["prompt"])


def test_the_same_seed_sends_the_same_prompts(tmp_path: Path) -> None:
    prompts = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        api = StubAPI()
        run(api, tmp_path / name)
        prompts.append(sorted(body["prompt"] for body in api.bodies))

    assert prompts[0] == prompts[1]


def test_a_refused_prompt_is_kept_as_failed(tmp_path: Path) -> None:
    load = run(StubAPI(refused=frozenset({1})), tmp_path)

    assert [(request.name, request.failure) for request in load.failed] == [("prompt-1", "no room")]


def test_a_prompt_that_never_finishes_is_given_up_after_one_more_period(tmp_path: Path) -> None:
    load = run(StubAPI(ignored=frozenset({0})), tmp_path)

    assert [(request.name, request.failure) for request in load.failed] == [
        ("prompt-0", "not finished when the run ended")
    ]
    assert load.duration_s >= PLAN.duration_s + PLAN.period_s


def test_streams_that_are_refused_are_an_error(tmp_path: Path) -> None:
    plan = InterferencePlan(num_streams=1, num_stream_prompt_tokens=PROMPT_LEN)

    with pytest.raises(SarathiError, match="stream-0 could not start: no room"):
        run(StubAPI(refused=frozenset({0})), tmp_path, plan)
