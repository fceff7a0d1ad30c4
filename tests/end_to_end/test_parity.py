"""The text is what transformers gives for the same weights, whatever the engine does meanwhile."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sarathid.models.export import export
from sarathid.models.model_files import resolve
from sarathid.protocol.control import GetSnapshot, Retuned, SetBudget, SetPolicy, Snapshot
from tests.end_to_end.greedy_oracle import GreedyOracle, Verdict
from tests.end_to_end.running_daemon import RunningDaemon, serving

NUM_PROMPTS = 32
NUM_TOKENS = 16
MAX_TIES_PER_TOKEN = 1 / 2000
SENTENCES = (
    "The engine keeps every stream alive while a long prompt is read in chunks.",
    "In 1969, 3 astronauts flew 384400 km to the Moon; 2 of them walked on it.",
    "def fibonacci(n):\n    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)\n",
    "Der schnelle braune Fuchs springt über den faulen Hund.",
    "Water boils at 100 degrees Celsius at sea level, and at less on a mountain.",
    "吾輩は猫である。名前はまだ無い。",
    "She opened the letter, read it twice, and put it back into the drawer. 🙂",
)


@dataclass(frozen=True, slots=True)
class Completion:
    prompt_token_ids: tuple[int, ...]
    token_ids: tuple[int, ...]


def make_prompts() -> list[str]:
    """Return prompts of 1 to about 300 tokens, none alike."""
    random = Random(2024)
    prompts = []
    for number in range(NUM_PROMPTS):
        sentences = random.choices(SENTENCES, k=1 + number % 4 * (number % 5))
        prompts.append(f"{number}. " + " ".join(sentences))
    return prompts


def complete(daemon: RunningDaemon, prompt: str) -> Completion:
    body = {
        "prompt": prompt,
        "max_tokens": NUM_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "return_token_ids": True,
    }
    with daemon.http() as client:
        response = client.post("/v1/completions", json=body)
    assert response.status_code == 200, response.text
    choice = response.json()["choices"][0]
    return Completion(tuple(choice["prompt_token_ids"]), tuple(choice["token_ids"]))


def complete_all(daemon: RunningDaemon, prompts: list[str]) -> dict[str, Completion]:
    """Send all prompts at once, in the order given."""
    with ThreadPoolExecutor(len(prompts)) as pool:
        completions = list(pool.map(lambda prompt: complete(daemon, prompt), prompts))
    return dict(zip(prompts, completions, strict=True))


class Judge:
    """Judges completions, each different one once, and keeps count of ties."""

    def __init__(self, oracle: GreedyOracle) -> None:
        self._oracle = oracle
        self._verdicts: dict[Completion, Verdict] = {}
        self.num_tokens = 0
        self.num_ties = 0

    def check(self, completions: dict[str, Completion]) -> None:
        for completion in completions.values():
            assert len(completion.token_ids) == NUM_TOKENS
            verdict = self._verdicts.get(completion)
            if verdict is None:
                verdict = self._oracle.judge(completion.prompt_token_ids, completion.token_ids)
                self._verdicts[completion] = verdict
            assert verdict.is_right, f"token {verdict.first_wrong} of {completion} is not the best one"
            self.num_tokens += verdict.num_tokens
            self.num_ties += verdict.num_ties


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Judge]:
    directory = tmp_path_factory.mktemp("exported")
    export(resolve("smollm2-135m"), directory)
    judge = Judge(GreedyOracle(directory))
    yield judge
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{judge.num_tokens} greedy tokens compared with transformers, {judge.num_ties} ties")
    assert judge.num_ties <= judge.num_tokens * MAX_TIES_PER_TOKEN


@pytest.fixture(scope="module")
def in_floats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon whose weights are the numbers that transformers has."""
    with serving(tmp_path_factory.mktemp("floats") / "run", "--dtype", "float32", "--budget", "128") as running:
        yield running


@pytest.mark.parametrize("token_budget", [64, 128, 512, 8192])
def test_greedy_text_is_that_of_transformers_at_any_budget(
    in_floats: RunningDaemon, judge: Judge, token_budget: int
) -> None:
    prompts = make_prompts()
    Random(token_budget).shuffle(prompts)
    in_floats.ask(SetBudget(budget=token_budget), Retuned)
    judge.check(complete_all(in_floats, prompts))
    in_floats.ask(SetBudget(budget=128), Retuned)


def test_greedy_text_is_that_of_transformers_without_batch_mates_and_under_another_policy(
    in_floats: RunningDaemon, judge: Judge
) -> None:
    in_floats.ask(SetPolicy(policy="prefill-first"), Retuned)
    judge.check({prompt: complete(in_floats, prompt) for prompt in make_prompts()[::4]})
    in_floats.ask(SetPolicy(policy="stall-free"), Retuned)


def test_a_text_is_scored_as_its_own_continuation(in_floats: RunningDaemon) -> None:
    with in_floats.openai() as client:
        asked: dict[str, Any] = {"model": client.models.list().data[0].id, "temperature": 0, "logprobs": 1}
        written = client.completions.create(prompt=SENTENCES[0], max_tokens=6, **asked).choices[0]
        scored = client.completions.create(prompt=SENTENCES[0] + written.text, max_tokens=0, echo=True, **asked)

    own, again = written.logprobs, scored.choices[0].logprobs
    assert own is not None and again is not None and own.token_logprobs and again.token_logprobs
    assert again.token_logprobs[-6:] == pytest.approx(own.token_logprobs, abs=1e-3)


def test_greedy_text_is_that_of_transformers_through_preemption_and_odd_blocks(judge: Judge, tmp_path: Path) -> None:
    flags = ("--dtype", "float32", "--block-size", "7", "--kv-memory", "30MiB", "--max-model-len", "600")
    with serving(tmp_path / "run", *flags, "--budget", "200") as daemon:
        judge.check(complete_all(daemon, make_prompts()))
        snapshot = daemon.ask(GetSnapshot(num_iterations=4096), Snapshot)

    assert sum(len(stats.preempted) for stats in snapshot.iterations) > 0
    assert snapshot.status.num_blocks_used == 0


def test_the_default_numbers_say_the_same_at_any_budget_and_without_batch_mates(daemon: RunningDaemon) -> None:
    prompts = make_prompts()[::2]
    together = complete_all(daemon, prompts)
    daemon.ask(SetBudget(budget=64), Retuned)
    assert complete_all(daemon, prompts[::-1]) == together
    daemon.ask(SetBudget(budget=8192), Retuned)
    assert {prompt: complete(daemon, prompt) for prompt in prompts[::4]} == {
        prompt: together[prompt] for prompt in prompts[::4]
    }
    daemon.ask(SetBudget(budget=128), Retuned)


@pytest.mark.long
def test_the_default_numbers_say_the_same_through_preemption_and_odd_blocks(
    daemon: RunningDaemon, tmp_path: Path
) -> None:
    prompts = make_prompts()
    flags = ("--block-size", "7", "--kv-memory", "15MiB", "--max-model-len", "600", "--budget", "200")
    with serving(tmp_path / "run", *flags) as starved:
        found = complete_all(starved, prompts)
        snapshot = starved.ask(GetSnapshot(num_iterations=4096), Snapshot)

    assert sum(len(stats.preempted) for stats in snapshot.iterations) > 0
    assert found == complete_all(daemon, prompts)
