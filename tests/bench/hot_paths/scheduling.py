"""The two halves of a scheduler's step while everybody decodes."""

from functools import partial

from sarathid.scheduler.batch import Drawn, ScheduledBatch
from sarathid.scheduler.scheduler import Scheduler
from sarathid.scheduler.token_budget import FixedBudget
from tests.bench.hot_paths.hot_path import HotPath, Operations
from tests.bench.scheduler_step import NUM_SEQUENCES, TOKEN_BUDGET, decoding_scheduler


def schedule(num_sequences: int) -> Operations:
    scheduler, batches = decoding_scheduler(num_sequences), list[ScheduledBatch]()
    while True:
        yield lambda: batches.append(scheduler.schedule(FixedBudget(TOKEN_BUDGET)))
        _take_tokens(scheduler, batches.pop())


def update(num_sequences: int) -> Operations:
    scheduler = decoding_scheduler(num_sequences)
    while True:
        yield partial(_take_tokens, scheduler, scheduler.schedule(FixedBudget(TOKEN_BUDGET)))


def _take_tokens(scheduler: Scheduler, batch: ScheduledBatch) -> None:
    scheduler.update(batch, Drawn((1,) * len(batch.sequences)))


SCHEDULING = tuple(
    HotPath(f"{half.__name__}, {num_sequences} sequences", partial(half, num_sequences))
    for half in (schedule, update)
    for num_sequences in NUM_SEQUENCES
)
