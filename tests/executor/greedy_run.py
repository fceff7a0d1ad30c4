"""Random greedy requests through the real engine core, with a budget that changes all the time and too few blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import torch

from sarathid.clock import MonotonicClock
from sarathid.config import EngineConfig
from sarathid.engine.assembly import build_core
from sarathid.executor.base import Executor
from sarathid.executor.local import LocalExecutor
from sarathid.protocol.requests import Request, SamplingParams
from sarathid.protocol.step import ChangeSettings
from sarathid.scheduler.batch import ScheduledBatch, ScheduledSequence
from tests.models.tiny import VOCAB_SIZE

BUDGETS = (16, 24, 48, 96, 200)
TIE_LOGITS = 1e-4
MAX_LEN = 96


@dataclass(frozen=True, slots=True)
class GreedyRun:
    """Every request's output, and how often one was preempted."""

    outputs: Mapping[int, tuple[int, ...]]
    num_preemptions: int


def make_requests(count: int, seed: int = 0) -> tuple[Request, ...]:
    """Return prompts of 1 to 60 random tokens that want 1 to 20 more."""
    random = Random(seed)
    return tuple(
        Request(
            request_id=index,
            prompt_token_ids=tuple(random.choices(range(VOCAB_SIZE), k=random.randint(1, 60))),
            sampling=SamplingParams(temperature=0.0, max_tokens=random.randint(1, 20), ignore_eos=True),
        )
        for index in range(count)
    )


def run_greedy(executor: Executor, config: EngineConfig, requests: Sequence[Request], seed: int = 0) -> GreedyRun:
    """Start `executor`, run the requests, which arrive as they please, and close it."""
    random = Random(seed)
    core = build_core(config, executor, executor.start(), MonotonicClock())
    waiting, num_preemptions = list(requests), 0
    outputs: dict[int, list[int]] = {request.request_id: [] for request in requests}
    while waiting or core.has_work:
        for _ in range(min(len(waiting), random.randint(0, 4) if core.has_work else 1)):
            core.add(waiting.pop(0))
        if random.random() < 0.2:
            core.change_settings(ChangeSettings(change_id=0, budget=random.choice(BUDGETS)))
        output = core.step()
        if output is None:
            continue
        for delta in output.deltas:
            assert delta.token_id is not None
            outputs[delta.request_id].append(delta.token_id)
        if output.stats is not None:
            num_preemptions += len(output.stats.preempted)
    executor.close()
    return GreedyRun({request_id: tuple(tokens) for request_id, tokens in outputs.items()}, num_preemptions)


class GreedyJudge:
    """Knows what one process gives for the same requests, and where two tokens were all but equally good."""

    def __init__(self, config: EngineConfig, requests: Sequence[Request]) -> None:
        self._requests = {request.request_id: request for request in requests}
        self.expected = run_greedy(LocalExecutor(config), config, requests)
        self._oracle = LocalExecutor(config)
        self._block_size = self._oracle.start().block_size

    def count_ties(self, run: GreedyRun) -> int:
        """Return how many outputs differ; asserts that each does from a token on that was as good as the best.

        Sums over ranks are added up in another order than in one process: what is within `TIE_LOGITS` is a tie.
        """
        num_ties = 0
        for request_id, expected in self.expected.outputs.items():
            found = run.outputs[request_id]
            assert len(found) == len(expected)
            if found != expected:
                place = next(index for index in range(len(expected)) if found[index] != expected[index])
                logits = self._logits(request_id, expected[:place])
                assert logits[expected[place]] - logits[found[place]] < TIE_LOGITS, (request_id, place, found, expected)
                num_ties += 1
        return num_ties

    def _logits(self, request_id: int, output: tuple[int, ...]) -> torch.Tensor:
        token_ids = self._requests[request_id].prompt_token_ids + output
        sequence = ScheduledSequence(
            request_id=request_id,
            token_ids=token_ids,
            first_position=0,
            block_ids=tuple(range(-(-len(token_ids) // self._block_size))),
            sampling=None,
            num_output_tokens=len(output),
        )
        return self._oracle.runner.logits(ScheduledBatch(chunks=(sequence,)))[-1]
