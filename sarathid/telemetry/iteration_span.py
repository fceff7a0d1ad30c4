"""Where the time went between the tokens of one iteration and those of the iteration before."""

from dataclasses import dataclass

from sarathid.protocol.stats import Blocker, ChunkStats, IterationStats, StageTime, StallCause
from sarathid.telemetry.parts import Parts
from sarathid.telemetry.pauses import Pauses
from sarathid.telemetry.span import Span

_UNEXPLAINED_SHARE = 0.5
_UNEXPLAINED_SHARE_OF_A_GUESS = 2.0


@dataclass(frozen=True, slots=True)
class IterationSpan:
    """An iteration as far as stalls ask for it.

    First the host works, up to the executor's turn in `compute`, whose end is that of the iteration's tokens. Of that
    `expected_s` was foreseen for the batch and `expected_decode_s` for it without its chunks; what exceeds the former
    by over half, or a mere guess threefold, is unexplained. None where nothing can be expected of a chunk. `prefill_s`
    is what its chunks cost beside its decodes, and `chunks_s` what they were expected to, None while those are not
    predicted.
    """

    sequence_number: int
    host: Span
    compute: Span
    gc_s: float
    expected_s: float | None
    expected_decode_s: float
    most_excess_s: float
    num_decode_tokens: int
    prefill_s: float | None
    chunks_s: float | None
    chunks: tuple[ChunkStats, ...]
    preempted: tuple[int, ...]
    blocked_by: Blocker | None
    stages: tuple[StageTime, ...]

    @classmethod
    def of(cls, stats: IterationStats, before: IterationStats | None, isolated_decode_s: float) -> "IterationSpan":
        """Return the span of an iteration behind the one `before` it, None if there was none.

        In a pipeline a batch may be submitted before its turn. `isolated_decode_s` stands in for the decodes' cost
        while there is no prediction.
        """
        begin_s = stats.start_s - stats.idle_s
        if before is not None and begin_s <= before.end_s + 1e-6:
            begin_s = before.tokens_s
        submitted_s = stats.start_s + stats.schedule_s
        turn_s = min(max(begin_s, submitted_s), stats.tokens_s)
        early_s = turn_s - submitted_s
        expected_s, most_excess_s = _expected(stats, isolated_decode_s)
        return cls(
            sequence_number=stats.sequence_number,
            host=Span(min(begin_s, turn_s), turn_s),
            compute=Span(turn_s, stats.tokens_s),
            gc_s=stats.gc_s,
            expected_s=None if expected_s is None else max(0.0, expected_s - early_s),
            expected_decode_s=max(0.0, _expected_decode_s(stats, isolated_decode_s) - early_s),
            most_excess_s=most_excess_s,
            num_decode_tokens=stats.num_decode_tokens,
            prefill_s=None if stats.predicted_decode_s is None else stats.execute_s - stats.predicted_decode_s,
            chunks_s=_expected_of_chunks_s(stats),
            chunks=stats.chunks,
            preempted=stats.preempted,
            blocked_by=stats.blocked_by,
            stages=stats.stages,
        )

    @property
    def whole(self) -> Span:
        return Span(self.host.from_s, self.compute.until_s)

    @property
    def num_prefill_tokens(self) -> int:
        return sum(chunk.length for chunk in self.chunks)

    @property
    def chunk(self) -> ChunkStats | None:
        """The longest of its chunks, None where it has none."""
        return max(self.chunks, key=lambda chunk: chunk.length, default=None)

    def stage_decodes_s(self) -> tuple[float, ...]:
        """Return how long each stage of a pipeline worked for its decodes; () without one, or where nothing tells.

        Its chunks are taken to have cost what was expected of them, and each stage its share of that.
        """
        work_s = sum([stage.busy_s for stage in self.stages])
        if len(self.stages) < 2 or self.chunks_s is None or work_s <= 0.0:
            return ()
        share = max(0.0, 1.0 - self.chunks_s / work_s)
        return tuple([share * stage.busy_s for stage in self.stages])

    def parts_within(self, span: Span, pauses: Pauses) -> Parts:
        """Return the seconds of each cause in what of this lies in `span`; they add up to its length."""
        host_s = self.host.seconds - pauses.seconds_within(self.host)
        compute_s = self.compute.seconds - pauses.seconds_within(self.compute)
        gc_in_host_s = min(self.gc_s, host_s)
        parts = Parts(float)
        for window, active_s, causes in (
            (self.host, host_s, _host_parts(host_s, gc_in_host_s)),
            (self.compute, compute_s, self._compute_parts(compute_s, self.gc_s - gc_in_host_s)),
        ):
            clipped = window.within(span)
            paused_s = pauses.seconds_within(clipped)
            parts[StallCause.ENGINE_PAUSE] += paused_s
            share = (clipped.seconds - paused_s) / active_s if active_s > 0.0 else 0.0
            for cause, seconds in causes.items():
                parts[cause] += share * seconds
        return parts

    def _compute_parts(self, compute_s: float, gc_s: float) -> dict[StallCause, float]:
        """Return what the executor's turn went to, which the process was not stopped for."""
        gc_s = min(gc_s, compute_s)
        compute_s -= gc_s
        excess_s = 0.0 if self.expected_s is None else compute_s - self.expected_s
        unexplained_s = excess_s if excess_s > self.most_excess_s else 0.0
        explained_s = compute_s - unexplained_s
        decode_s = min(explained_s, self.expected_decode_s) if self.chunks else explained_s
        return {
            StallCause.GARBAGE_COLLECTION: gc_s,
            StallCause.UNEXPLAINED: unexplained_s,
            StallCause.DECODE: decode_s,
            StallCause.PREFILL: explained_s - decode_s,
        }


def _host_parts(host_s: float, gc_s: float) -> dict[StallCause, float]:
    return {StallCause.GARBAGE_COLLECTION: gc_s, StallCause.OVERHEAD: host_s - gc_s}


def _expected(stats: IterationStats, isolated_decode_s: float) -> tuple[float | None, float]:
    """Return what the executor was expected to take, and by how much more it may take for that to explain it."""
    if stats.predicted_s is not None:
        return stats.predicted_s, _UNEXPLAINED_SHARE * stats.predicted_s
    if stats.chunks:
        return None, 0.0
    return isolated_decode_s, _UNEXPLAINED_SHARE_OF_A_GUESS * isolated_decode_s


def _expected_decode_s(stats: IterationStats, isolated_decode_s: float) -> float:
    if stats.num_decode_tokens == 0:
        return 0.0
    return isolated_decode_s if stats.predicted_decode_s is None else stats.predicted_decode_s


def _expected_of_chunks_s(stats: IterationStats) -> float | None:
    """Return what its chunks were expected to cost beside its decodes; None where that was not predicted."""
    if not stats.chunks:
        return 0.0
    if stats.predicted_s is None or stats.predicted_decode_s is None:
        return None
    return stats.predicted_s - stats.predicted_decode_s
