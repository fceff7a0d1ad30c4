"""How long one schedule step takes while everybody decodes: `python -m tests.bench.scheduler_step`.

Prints, for each number of running sequences, the median and the fastest of many steps in microseconds.
"""

import statistics
import time

from sarathid.kvcache.block_table import num_blocks_for
from sarathid.scheduler.batch import Drawn
from sarathid.scheduler.policies.registry import find_policy
from sarathid.scheduler.scheduler import Scheduler, SchedulerLimits
from sarathid.scheduler.token_budget import FixedBudget
from tests.factories import make_request

NUM_SEQUENCES = (32, 128, 512)
NUM_STEPS = 300
NUM_PROMPT_TOKENS = 512
BLOCK_SIZE = 16
TOKEN_BUDGET = 512


def decoding_scheduler(num_sequences: int) -> Scheduler:
    """Return a scheduler whose sequences have all computed their prompts."""
    max_model_len = NUM_PROMPT_TOKENS + NUM_STEPS + 2
    limits = SchedulerLimits(
        num_blocks=2 * num_sequences * num_blocks_for(max_model_len, BLOCK_SIZE),
        block_size=BLOCK_SIZE,
        max_model_len=max_model_len,
        max_num_seqs=num_sequences,
        max_num_tokens=max_model_len,
        eos_token_ids=frozenset(),
    )
    scheduler = Scheduler(limits, find_policy("stall-free"))
    for request_id in range(num_sequences):
        scheduler.add(make_request(request_id, NUM_PROMPT_TOKENS, max_tokens=None))
    step(scheduler, FixedBudget(num_sequences * NUM_PROMPT_TOKENS))
    return scheduler


def step(scheduler: Scheduler, budget: FixedBudget) -> tuple[float, float]:
    """Run one iteration without a model; return the microseconds of scheduling and of taking its tokens in."""
    began = time.perf_counter_ns()
    batch = scheduler.schedule(budget)
    scheduled = time.perf_counter_ns()
    scheduler.update(batch, Drawn((1,) * len(batch.sequences)))
    return (scheduled - began) / 1e3, (time.perf_counter_ns() - scheduled) / 1e3


def main() -> None:
    print("sequences   schedule median   fastest   update median   fastest   (us)")
    for num_sequences in NUM_SEQUENCES:
        scheduler = decoding_scheduler(num_sequences)
        schedule_us, update_us = zip(
            *(step(scheduler, FixedBudget(TOKEN_BUDGET)) for _ in range(NUM_STEPS)), strict=True
        )
        print(
            f"{num_sequences:9}{statistics.median(schedule_us):18.1f}{min(schedule_us):10.1f}"
            f"{statistics.median(update_us):16.1f}{min(update_us):10.1f}"
        )


if __name__ == "__main__":
    main()
