"""One iteration at a time: decide, hand to the executor, take in what came back, tell."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from sarathid.clock import Clock
from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.costmodel.forecast import PipelineForecast
from sarathid.costmodel.pipeline import StageWork
from sarathid.costmodel.predictor import CostModel
from sarathid.engine.launch_lead import LaunchLead
from sarathid.executor.base import Executor
from sarathid.protocol.requests import FinishReason, Request
from sarathid.protocol.stats import Blocker, BudgetBound, BudgetPlan, ChunkStats, EngineSettings, IterationScheduled
from sarathid.protocol.step import ChangeSettings, LearnedCost, NewTokens, SettingsApplied, StepOutput, TokenDelta
from sarathid.scheduler.batch import ScheduledBatch, ScheduledSequence
from sarathid.scheduler.policies.registry import find_policy
from sarathid.scheduler.scheduler import Scheduler
from sarathid.slo.controller import SLOController
from sarathid.telemetry.recorder import IterationTiming, StatsRecorder


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchedBatch:
    """A batch that the executor has and the core has not collected; `work_s` is its own predicted time.

    One that was submitted ahead begins, and counts as submitted, when the one before it is collected.
    """

    scheduled: IterationScheduled
    batch: ScheduledBatch
    features: IterationFeatures
    settings: EngineSettings
    work_s: float | None
    submitted_s: float
    idle_s: float
    work_since_s: float


class EngineCore:
    """The engine without its surroundings: no tensor, no socket, no wall clock of its own.

    `gc_total_s` tells how long the garbage collector has paused this process so far. `cost_model` predicts each
    iteration and learns from it, `has_profile` if it does not learn from nothing, `forecast` when it will be through
    the pipeline; the controller plans with both.
    """

    def __init__(
        self,
        executor: Executor,
        scheduler: Scheduler,
        controller: SLOController,
        recorder: StatsRecorder,
        clock: Clock,
        cost_model: CostModel,
        forecast: PipelineForecast,
        *,
        has_profile: bool = True,
        first_iteration: int = 0,
        gc_total_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._executor = executor
        self._scheduler = scheduler
        self._controller = controller
        self._recorder = recorder
        self._clock = clock
        self._gc_total_s = gc_total_s
        self._cost_model = cost_model
        self._has_profile = has_profile
        self._forecast = forecast
        self._in_flight: deque[LaunchedBatch] = deque()
        self._next_iteration = first_iteration
        self._busy_since_s: float | None = None
        self._work_since_s: float | None = None
        self._lead = LaunchLead()
        self._gc_seen_s = 0.0
        self._untold_preempted: tuple[int, ...] = ()

    @property
    def settings(self) -> EngineSettings:
        return self._controller.settings

    @property
    def has_work(self) -> bool:
        """Whether a request is unfinished, or a batch in flight."""
        return self._scheduler.has_work or bool(self._in_flight)

    @property
    def spare_s(self) -> float:
        """For how many seconds the next batch is better not put together: the device is busy, and others may come."""
        if not (self._in_flight and self._can_run_ahead):
            return 0.0
        lead_s = self._lead.seconds(self._in_flight[0].work_s or 0.0)
        return max(0.0, self._forecast.free_s - lead_s - self._clock.now_s())

    @property
    def begun(self) -> IterationScheduled | None:
        """What was launched ahead and began when the iteration before it was collected; None if nothing was."""
        return self._in_flight[0].scheduled if self._in_flight and self._executor.runs_ahead else None

    def probe(self) -> None:
        """Make sure, while there is nothing to do, that everybody who computes still lives; raises `EngineFailed`."""
        self._executor.probe()

    def add(self, request: Request) -> None:
        """Take in a request; raises `RequestRefused` when it can never finish."""
        self._recorder.track(self._scheduler.add(request))

    def cancel(self, request_id: int, reason: FinishReason) -> StepOutput | None:
        """Drop a request, also one that batches in flight hold; None when it is unknown."""
        if not self._scheduler.cancel(request_id):
            return None
        stats = self._recorder.finish(request_id, reason, self._clock.now_s())
        if not self.has_work:
            self._rest()
        return StepOutput(deltas=(TokenDelta(request_id, None, reason),), finished=(stats,))

    def change_settings(self, change: ChangeSettings) -> SettingsApplied:
        """Retune from the next iteration on; raises `ControlRefused` when a value is out of range."""
        old = self._controller.settings
        new = self._controller.apply(change)
        self._scheduler.policy = find_policy(new.policy)
        return SettingsApplied(change_id=change.change_id, iteration=self._next_iteration, old=old, new=new)

    def resume(self, first_iteration: int, settings: EngineSettings, learned: Sequence[LearnedCost] = ()) -> None:
        """Go on where an earlier engine stopped, before anything ran here, with what it learned."""
        assert not self._scheduler.has_work
        for cost in learned:
            chunks = tuple([ChunkShape(*chunk) for chunk in cost.chunks])
            self._cost_model.observe(IterationFeatures(cost.num_decodes, cost.decode_context, chunks), cost.seconds)
        self._next_iteration = first_iteration
        self._controller.resume(settings)
        self._scheduler.policy = find_policy(settings.policy)

    def step(self) -> StepOutput | None:
        """Run one iteration; None when nobody can run."""
        while self.launch() is not None:
            pass
        self.launch_ahead()
        return self.collect()

    def launch(self, tell: Callable[[IterationScheduled], None] | None = None) -> IterationScheduled | None:
        """Schedule a batch and hand it over, unless the pipeline is full or nobody can run; return what will run.

        `tell`, where it is given, is called with that before it is handed over, which may take long itself.
        """
        if len(self._in_flight) >= self._forecast.num_stages:
            return None
        launched = self._launch(self._clock.now_s(), tell)
        if launched is None:
            return None
        self._recorder.mark_scheduled(launched.batch, launched.scheduled.start_s)
        return launched.scheduled

    def launch_ahead(self) -> None:
        """Schedule a batch that begins when the one in flight is done, if the executor can go over to it by itself."""
        if self._in_flight and self._can_run_ahead:
            self._launch(max(self._clock.now_s(), self._forecast.free_s))

    @property
    def _can_run_ahead(self) -> bool:
        has_room = len(self._in_flight) < self._executor.max_batches_in_flight
        return self._executor.runs_ahead and has_room and self._scheduler.can_run_ahead

    def _launch(self, start_s: float, tell: Callable[[IterationScheduled], None] | None = None) -> LaunchedBatch | None:
        began_s = self._clock.now_s()
        batch = self._scheduler.schedule(self._controller.grant(start_s, self._scheduler.fullness))
        if not batch:
            assert self._in_flight or not self._scheduler.has_work, "there is work, and nothing of it can be scheduled"
            self._untold_preempted += batch.preempted
            return None
        if self._work_since_s is None:
            self._work_since_s = start_s
        settings, plan = self._controller.settings, self._controller.explain()
        features = IterationFeatures.of(batch)
        work_s = self._cost_model.predict(features)
        predicted_s = None if work_s is None else self._forecast.launch(start_s, work_s)
        scheduled = IterationScheduled(
            sequence_number=self._next_iteration,
            start_s=start_s,
            token_budget=self._controller.num_tokens,
            num_decode_tokens=len(batch.decodes),
            chunks=self._chunk_stats(batch),
            predicted_s=predicted_s,
            plan=plan,
            blocked_by=self._blocked_by(plan),
        )
        self._next_iteration += 1
        if tell is not None:
            tell(scheduled)
        self._executor.submit(batch)
        submitted_s = self._clock.now_s()
        self._lead.observe_launch(submitted_s - began_s)
        launched = LaunchedBatch(
            scheduled=scheduled,
            batch=batch,
            features=features,
            settings=settings,
            work_s=work_s,
            submitted_s=submitted_s,
            idle_s=0.0 if self._busy_since_s is None else max(0.0, start_s - self._busy_since_s),
            work_since_s=self._work_since_s,
        )
        self._in_flight.append(launched)
        return launched

    def collect(self, tell: Callable[[NewTokens], None] | None = None) -> StepOutput | None:
        """Wait for the oldest batch and take in its tokens; None when none is in flight.

        `tell`, where it is given, is called with what there is for requests that go on, as soon as it is there.
        """
        if not self._in_flight:
            return None
        launched = self._in_flight.popleft()
        batch, self._untold_preempted = self._with_untold(launched.batch), ()
        output = self._executor.collect()
        collected_s = self._clock.now_s()
        gc_total_s = self._gc_total_s()
        deltas = self._scheduler.update(batch, output.drawn)
        goes_on = bool(self._in_flight) and self._executor.runs_ahead  # then nobody waits for what is done from here on
        timing = IterationTiming(
            start_s=launched.scheduled.start_s,
            submitted_s=launched.submitted_s,
            collected_s=collected_s,
            updated_s=collected_s if goes_on else self._clock.now_s(),
            idle_s=launched.idle_s,
            gc_s=gc_total_s - self._gc_seen_s,
            work_since_s=launched.work_since_s,
            stages=output.stages,
        )
        untold = StepOutput(deltas=deltas, prompt_logprobs=output.drawn.prompt_logprobs)
        if tell is not None:
            untold = _told_ahead(untold, collected_s, tell)
        self._gc_seen_s = gc_total_s
        predicted_decode_s = self._predicted_decode_s(launched)
        learned = self._learn(launched, collected_s - launched.submitted_s - timing.gc_s, output.stages)
        if goes_on:
            self._go_over(collected_s)
        recorded = self._recorder.record(
            launched.scheduled,
            batch,
            deltas,
            timing,
            launched.settings,
            self._scheduler,
            predicted_decode_s,
        )
        overload = self._controller.observe(recorded.stats, launched.features.without_chunks(), recorded.num_late)
        self._busy_since_s = timing.updated_s
        if not self.has_work:
            self._rest()
        return msgspec.structs.replace(
            untold,
            stats=recorded.stats,
            overload=overload,
            finished=recorded.finished,
            learned=learned,
            deficits=self._scheduler.deficits,
        )

    def _go_over(self, now_s: float) -> None:
        """Let the batch that was submitted ahead begin, as it does in the executor."""
        ahead = self._in_flight.popleft()
        if ahead.work_s is not None:
            self._forecast.begin(now_s, ahead.work_s)
        self._recorder.mark_scheduled(ahead.batch, now_s)
        scheduled = msgspec.structs.replace(ahead.scheduled, start_s=now_s)
        self._in_flight.append(replace(ahead, scheduled=scheduled, submitted_s=now_s, idle_s=0.0))

    def _with_untold(self, batch: ScheduledBatch) -> ScheduledBatch:
        """Return the batch with those, too, who were preempted since for one that came to nothing."""
        if not self._untold_preempted:
            return batch
        return msgspec.structs.replace(batch, preempted=batch.preempted + self._untold_preempted)

    def _blocked_by(self, plan: BudgetPlan | None) -> Blocker | None:
        """Return what the oldest waiting request waits for; the scheduler can't tell why a budget grants nothing."""
        if plan is not None and plan.bound is BudgetBound.HOLD:
            return Blocker.HOLD
        return self._scheduler.blocked_by

    def _predicted_decode_s(self, launched: LaunchedBatch) -> float | None:
        """Return what was expected of a batch without its chunks, in the same place of the pipeline."""
        predicted_s = launched.scheduled.predicted_s
        decode_s = self._cost_model.predict(launched.features.without_chunks())
        if predicted_s is None or launched.work_s is None or decode_s is None:
            return None
        return max(0.0, predicted_s - launched.work_s + decode_s)

    def _learn(self, launched: LaunchedBatch, seconds: float, stages: tuple[StageWork, ...]) -> LearnedCost:
        """Let the models know that a batch was done after `seconds`, of which it waited a part in the pipeline."""
        predicted_s = launched.scheduled.predicted_s
        if predicted_s is not None:
            self._forecast.collect(seconds - predicted_s)
            self._lead.observe_iteration(predicted_s, seconds)
        own_s = self._own_s(launched, seconds, stages)
        self._cost_model.observe(launched.features, own_s)
        return LearnedCost(*launched.features, own_s)

    def _own_s(self, launched: LaunchedBatch, seconds: float, stages: tuple[StageWork, ...]) -> float:
        """Return how much of `seconds` a batch did not wait for others.

        With a profile it is the share that was predicted, so that what a batch met on its way counts, too. Who learns
        from nothing would find any scale confirmed by that, since the forecast follows what batches were late by: what
        the stages worked tells.
        """
        if len(stages) > 1 and not self._has_profile:
            return sum([stage.busy_s for stage in stages])
        if launched.work_s is None or not launched.scheduled.predicted_s:
            return seconds
        return seconds * (launched.work_s / launched.scheduled.predicted_s)

    def _rest(self) -> None:
        """Make sure, now that there is nothing to do, that every block is back."""
        self._busy_since_s = None
        self._work_since_s = None
        self._scheduler.check_integrity()

    def _chunk_stats(self, batch: ScheduledBatch) -> tuple[ChunkStats, ...]:
        return tuple(
            ChunkStats(
                request_id=chunk.request_id,
                start=chunk.first_position,
                length=chunk.num_tokens,
                num_tokens=self._scheduler[chunk.request_id].num_tokens,
                num_cached_tokens=self._num_cached_before(chunk),
            )
            for chunk in batch.chunks
        )

    def _num_cached_before(self, chunk: ScheduledSequence) -> int:
        """Return what the prefix cache had of a sequence that this chunk starts, 0 for a later chunk."""
        num_cached_tokens = self._scheduler[chunk.request_id].num_cached_tokens
        return num_cached_tokens if chunk.first_position == num_cached_tokens else 0


def _told_ahead(output: StepOutput, made_s: float, tell: Callable[[NewTokens], None]) -> StepOutput:
    """Tell what there is for requests that go on; return the rest, which is to come with the record of its making."""
    going_on = tuple([delta for delta in output.deltas if delta.finish_reason is None])
    if going_on or output.prompt_logprobs:
        tell(NewTokens(deltas=going_on, made_s=made_s, prompt_logprobs=output.prompt_logprobs))
    return StepOutput(deltas=tuple([delta for delta in output.deltas if delta.finish_reason is not None]))
