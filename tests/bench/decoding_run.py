"""Sequences that all decode, iteration after iteration, and the records that tell of them."""

from dataclasses import dataclass

from sarathid.costmodel.pipeline import StageWork
from sarathid.protocol.stats import IterationScheduled, IterationStats, StreamRecord
from sarathid.protocol.step import TokenDelta
from sarathid.scheduler.batch import Drawn, ScheduledBatch
from sarathid.scheduler.token_budget import FixedBudget
from sarathid.telemetry.recorder import IterationTiming, StatsRecorder
from tests.bench.scheduler_step import TOKEN_BUDGET, decoding_scheduler
from tests.sarathictl.records import make_settings

ITERATIONS_PER_S = 50.0


@dataclass(frozen=True, slots=True)
class Computed:
    """An iteration that is done and not yet recorded."""

    scheduled: IterationScheduled
    batch: ScheduledBatch
    deltas: tuple[TokenDelta, ...]
    timing: IterationTiming


class DecodingRun:
    """One scheduler and its recorder; every iteration computes one token of each of `num_decodes` sequences."""

    def __init__(self, num_decodes: int) -> None:
        self._scheduler, self._recorder = decoding_scheduler(num_decodes), StatsRecorder()
        self._settings = make_settings()
        self._num_computed = 0
        for sequence in self._scheduler._sequences.values():
            self._recorder.track(sequence)

    def compute(self) -> Computed:
        """Return the next iteration."""
        batch = self._scheduler.schedule(FixedBudget(TOKEN_BUDGET))
        deltas = self._scheduler.update(batch, Drawn((1,) * len(batch.sequences)))
        number, self._num_computed = self._num_computed, self._num_computed + 1
        start_s, end_s = number / ITERATIONS_PER_S, (number + 0.9) / ITERATIONS_PER_S
        scheduled = IterationScheduled(
            sequence_number=number,
            start_s=start_s,
            token_budget=TOKEN_BUDGET,
            num_decode_tokens=len(batch.decodes),
            chunks=(),
        )
        timing = IterationTiming(
            start_s=start_s,
            submitted_s=start_s + 0.0005,
            collected_s=end_s,
            updated_s=end_s + 0.0005,
            idle_s=0.0,
            gc_s=0.0,
            work_since_s=0.0,
            stages=(StageWork(start_s, end_s - start_s),),
        )
        return Computed(scheduled, batch, deltas, timing)

    def record(self, done: Computed) -> IterationStats:
        """Return the record of an iteration; each is recorded once, in the order in which they were computed."""
        recorded = self._recorder.record(
            done.scheduled, done.batch, done.deltas, done.timing, self._settings, self._scheduler, None
        )
        return recorded.stats

    def records(self, num_iterations: int) -> list[StreamRecord]:
        """Compute that many iterations and return their records, two of each."""
        computed = (self.compute() for _ in range(num_iterations))
        return [told for done in computed for told in (done.scheduled, self.record(done))]
