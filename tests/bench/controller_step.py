"""What the SLO controller costs an iteration: `python -m tests.bench.controller_step`.

Times all that an adaptive budget does for one iteration beside a number of decodes: granting, charging the decodes,
sizing a long prompt's chunk, explaining and observing. The prompt is under way, or starts in this iteration, which is
also asked whether the decodes leave room for its answer. Prints median, mean and the fastest of many in microseconds
of processor time, without what reading that takes, and the same for a budget in tokens.
"""

import statistics
import time

import msgspec

from sarathid.costmodel.correction import CorrectedCostModel
from sarathid.costmodel.features import IterationFeatures
from sarathid.costmodel.forecast import PipelineForecast
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile
from sarathid.kvcache.block_table import BlockTable
from sarathid.protocol.slo import SLO, BudgetMode
from sarathid.protocol.stats import EngineSettings, TokenGap
from sarathid.scheduler.decode_load import DecodeLoad
from sarathid.scheduler.sequence import Sequence
from sarathid.slo.controller import BudgetBounds, Circumstances, SLOController
from sarathid.slo.profiled_budget import WorstCase
from tests.factories import make_iteration, make_request

PROFILE = find_profile("a100/yi-34b-tp2")
NUM_DECODES = (8, 32, 128)
NUM_STEPS = 2000
CONTEXT = 1000
NUM_PROMPT_TOKENS = 8000


def make_controller(mode: BudgetMode) -> SLOController:
    settings = EngineSettings(revision=0, token_budget=512, policy="stall-free", slo=SLO(tbt_s=0.2), budget_mode=mode)
    circumstances = Circumstances(
        bounds=BudgetBounds(16, 8192),
        worst_case=WorstCase(num_decodes=128, decode_context=128 * CONTEXT, max_model_len=8192),
        tile=PROFILE.linear.tile,
    )
    return SLOController(settings, circumstances, CorrectedCostModel(IterationCostModel(PROFILE)), PipelineForecast(1))


def make_sequence(num_tokens: int, num_computed_tokens: int, *, is_started: bool = True) -> Sequence:
    sequence = Sequence(make_request(1, num_tokens, max_tokens=None), 0, 2 * NUM_PROMPT_TOKENS, BlockTable(16))
    sequence.last_token_s = 0.0
    sequence.num_computed_tokens = num_computed_tokens
    if is_started:
        sequence.block_table.extend([0] * sequence.block_table.num_missing(num_computed_tokens))
    return sequence


def step(controller: SLOController, decodes: list[Sequence], prompt: Sequence) -> float:
    """Do all of the controller's work of one iteration; return its microseconds.

    What the scheduler reckons while it goes through the decodes is `tests.bench.scheduler_step`'s.
    """
    load = DecodeLoad.of(decodes)
    features = IterationFeatures(len(decodes), len(decodes) * CONTEXT)
    began = time.thread_time_ns()
    budget = controller.grant(0.001, 0.5)
    budget.charge_decodes(load)
    budget.take(prompt, NUM_PROMPT_TOKENS)
    plan = controller.explain()
    planned = time.thread_time_ns()
    gaps = tuple(TokenGap(number, 0.15) for number in range(len(decodes)))
    stats = msgspec.structs.replace(make_iteration(gaps=gaps), plan=plan)
    recorded = time.thread_time_ns()
    controller.observe(stats, features, 0)
    return (planned - began + time.thread_time_ns() - recorded) / 1e3


def reading_us() -> float:
    """Return what it takes to read the clock."""
    return min(-(time.thread_time_ns() - time.thread_time_ns()) for _ in range(NUM_STEPS)) / 1e3


def main() -> None:
    kinds = (
        ("adaptive, prompt under way", BudgetMode.ADAPTIVE, True),
        ("adaptive, prompt to start", BudgetMode.ADAPTIVE, False),
        ("fixed", BudgetMode.FIXED, True),
    )
    spent_us = 2 * reading_us()
    print(f"{'':28}decodes    median      mean   fastest   (us)")
    for name, mode, is_started in kinds:
        for num_decodes in NUM_DECODES:
            controller = make_controller(mode)
            decodes = [make_sequence(CONTEXT, CONTEXT) for _ in range(num_decodes)]
            prompt = make_sequence(2 * NUM_PROMPT_TOKENS, 512, is_started=is_started)
            taken_us = [step(controller, decodes, prompt) - spent_us for _ in range(NUM_STEPS)]
            print(
                f"{name:28}{num_decodes:7}{statistics.median(taken_us):10.1f}{statistics.mean(taken_us):10.1f}"
                f"{min(taken_us):10.1f}"
            )


if __name__ == "__main__":
    main()
