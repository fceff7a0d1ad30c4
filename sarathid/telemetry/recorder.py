"""Turns what an iteration did into its record and the records of the requests it ended."""

from dataclasses import dataclass

from sarathid.costmodel.pipeline import StageWork
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import (
    EngineSettings,
    FirstToken,
    IterationScheduled,
    IterationStats,
    RequestStats,
    TokenGap,
)
from sarathid.protocol.step import TokenDelta
from sarathid.scheduler.batch import ScheduledBatch
from sarathid.scheduler.scheduler import Scheduler
from sarathid.scheduler.sequence import Sequence
from sarathid.telemetry.bubbles import BubbleMeter
from sarathid.telemetry.timeline import RequestTimeline


@dataclass(frozen=True, slots=True, kw_only=True)
class IterationTiming:
    """The four moments of an iteration (monotonic seconds) and what fell between it and the one before.

    There was work since `work_since_s`, and `stages` of the pipeline did theirs.
    """

    start_s: float
    submitted_s: float
    collected_s: float
    updated_s: float
    idle_s: float
    gc_s: float
    work_since_s: float
    stages: tuple[StageWork, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What one iteration is remembered by; `num_late` of its tokens came later than the target allows."""

    stats: IterationStats
    num_late: int
    finished: tuple[RequestStats, ...]


class StatsRecorder:
    """Holds the timeline of every unfinished request."""

    def __init__(self) -> None:
        self._timelines: dict[int, RequestTimeline] = {}
        self._bubbles = BubbleMeter()

    def track(self, sequence: Sequence) -> None:
        """Begin a request's timeline."""
        self._timelines[sequence.request_id] = RequestTimeline(sequence)

    def finish(self, request_id: int, reason: FinishReason, now_s: float) -> RequestStats:
        """End a request's timeline and return its record."""
        return self._timelines.pop(request_id).finish(reason, now_s)

    def mark_scheduled(self, batch: ScheduledBatch, now_s: float) -> None:
        """Note that the prompts of a batch run from now on, but for those that were cancelled since it was made."""
        for sequence in batch.chunks:
            timeline = self._timelines.get(sequence.request_id)
            if timeline is not None:
                timeline.mark_scheduled(now_s)

    def record(
        self,
        scheduled: IterationScheduled,
        batch: ScheduledBatch,
        deltas: tuple[TokenDelta, ...],
        timing: IterationTiming,
        settings: EngineSettings,
        scheduler: Scheduler,
        predicted_decode_s: float | None,
    ) -> Recorded:
        """Return the record of an iteration whose tokens `deltas` the scheduler has taken in."""
        gaps, first_tokens = self._mark_tokens(deltas, timing.collected_s)
        ended = tuple(delta for delta in deltas if delta.finish_reason is not None)
        stats = IterationStats(
            sequence_number=scheduled.sequence_number,
            start_s=timing.start_s,
            schedule_s=timing.submitted_s - timing.start_s,
            execute_s=timing.collected_s - timing.submitted_s,
            emit_s=timing.updated_s - timing.collected_s,
            idle_s=timing.idle_s,
            gc_s=timing.gc_s,
            policy=settings.policy,
            revision=settings.revision,
            token_budget=scheduled.token_budget,
            num_decode_tokens=scheduled.num_decode_tokens,
            chunks=scheduled.chunks,
            num_running=scheduler.num_running,
            num_waiting=scheduler.num_waiting,
            num_preempted=scheduler.num_preempted,
            preempted=batch.preempted,
            num_blocks_used=scheduler.kv_cache.num_used_blocks,
            num_blocks_free=scheduler.kv_cache.num_free_blocks,
            gaps=gaps,
            first_tokens=first_tokens,
            finished=tuple(delta.request_id for delta in ended),
            predicted_s=scheduled.predicted_s,
            predicted_decode_s=predicted_decode_s,
            plan=scheduled.plan,
            blocked_by=scheduled.blocked_by,
            stages=self._bubbles.observe(timing.stages, timing.work_since_s),
        )
        return Recorded(
            stats=stats,
            num_late=self._mark_late(gaps, settings.slo.tbt_s),
            finished=tuple(
                self.finish(delta.request_id, delta.finish_reason, timing.collected_s)
                for delta in ended
                if delta.finish_reason is not None
            ),
        )

    def _mark_late(self, gaps: tuple[TokenGap, ...], target_s: float | None) -> int:
        late = () if target_s is None else [gap for gap in gaps if gap.tbt_s > target_s]
        for gap in late:
            self._timelines[gap.request_id].num_stalls += 1
        return len(late)

    def _mark_tokens(
        self, deltas: tuple[TokenDelta, ...], now_s: float
    ) -> tuple[tuple[TokenGap, ...], tuple[FirstToken, ...]]:
        gaps: list[TokenGap] = []
        first_tokens: list[FirstToken] = []
        timelines = self._timelines
        for delta in deltas:
            if delta.token_id is None:
                continue
            timeline = timelines[delta.request_id]
            gap_s = timeline.mark_token(now_s)
            if gap_s is not None:
                gaps.append(TokenGap(delta.request_id, gap_s))
            elif timeline.ttft_s is not None:
                first_tokens.append(FirstToken(delta.request_id, timeline.ttft_s))
        return tuple(gaps), tuple(first_tokens)
