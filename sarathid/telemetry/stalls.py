"""Says what a TBT above the target was made of: arithmetic over the iterations that it spans."""

from collections import defaultdict, deque
from collections.abc import Iterator

from sarathid.protocol.stats import ChunkStats, IterationStats, StallCause, StallEvent, TokenGap

_NUM_ITERATIONS_KEPT = 512
_UNEXPLAINED_FACTOR = 3.0


class StallFinder:
    """Remembers recent iterations; explains the worst gap of each iteration that has stalls.

    `isolated_decode_s` stands in for the cost of the decodes until the cost model knows it. An
    iteration that took over three times what was predicted leaves the excess unexplained.
    """

    def __init__(self, isolated_decode_s: float) -> None:
        self._isolated_decode_s = isolated_decode_s
        self._recent: deque[IterationStats] = deque(maxlen=_NUM_ITERATIONS_KEPT)

    def observe(self, stats: IterationStats, target_s: float | None) -> StallEvent | None:
        """Remember an iteration; return its stalls as one event, worst victim first, or None."""
        self._recent.append(stats)
        if target_s is None:
            return None
        victims = sorted((gap for gap in stats.gaps if gap.tbt_s > target_s), key=lambda gap: gap.tbt_s, reverse=True)
        return self._explain(stats, tuple(victims), target_s) if victims else None

    def _explain(self, stats: IterationStats, victims: tuple[TokenGap, ...], target_s: float) -> StallEvent:
        worst = victims[0]
        spanned = tuple(self._spanned_by(worst.tbt_s))
        parts = self._parts(spanned, worst)
        culprit = max(spanned, key=self._prefill_s)
        cause = max(parts, key=lambda part: parts[part])
        return StallEvent(
            iteration=stats.sequence_number,
            time_s=stats.end_s,
            target_s=target_s,
            victims=victims,
            cause=cause,
            parts=parts,
            chunk=_longest_chunk(culprit),
            chunk_iteration=culprit.sequence_number if culprit.chunks else None,
        )

    def _spanned_by(self, gap_s: float) -> Iterator[IterationStats]:
        """Yield the iterations that began within the last `gap_s` seconds, newest first."""
        newest = self._recent[-1]
        began_s = newest.start_s + newest.schedule_s + newest.execute_s - gap_s
        yield newest
        for stats in list(self._recent)[-2::-1]:
            if stats.start_s + stats.schedule_s + stats.execute_s <= began_s + 1e-9:
                return
            yield stats

    def _parts(self, spanned: tuple[IterationStats, ...], worst: TokenGap) -> dict[StallCause, float]:
        was_preempted = any(worst.request_id in stats.preempted for stats in spanned)
        parts: defaultdict[StallCause, float] = defaultdict(float)
        for stats in spanned:
            compute_s = _compute_s(stats)
            unexplained_s = self._unexplained_s(stats)
            prefill_s = max(0.0, self._prefill_s(stats) - unexplained_s)
            decode_s = max(0.0, compute_s - unexplained_s - prefill_s)
            parts[StallCause.GARBAGE_COLLECTION] += stats.gc_s
            parts[StallCause.UNEXPLAINED] += unexplained_s
            parts[StallCause.PREEMPTION if was_preempted else StallCause.PREFILL] += prefill_s
            parts[StallCause.PREEMPTION if was_preempted else StallCause.DECODE] += decode_s
        parts[StallCause.OVERHEAD] = max(0.0, worst.tbt_s - sum(parts.values()))
        return {cause: seconds for cause, seconds in parts.items() if seconds > 0.0}

    def _prefill_s(self, stats: IterationStats) -> float:
        return max(0.0, _compute_s(stats) - self._expected_decode_s(stats)) if stats.chunks else 0.0

    def _expected_decode_s(self, stats: IterationStats) -> float:
        if stats.num_decode_tokens == 0:
            return 0.0
        if stats.predicted_decode_s is not None:
            return stats.predicted_decode_s
        return self._isolated_decode_s

    def _unexplained_s(self, stats: IterationStats) -> float:
        expected_s = stats.predicted_s
        if expected_s is None:
            if stats.chunks:
                return 0.0
            expected_s = self._isolated_decode_s
        excess_s = _compute_s(stats) - expected_s
        return excess_s if excess_s > (_UNEXPLAINED_FACTOR - 1.0) * expected_s else 0.0


def _compute_s(stats: IterationStats) -> float:
    """Return the time in which the executor ran; what the host could not hold of a collection fell into it."""
    gc_in_execute_s = max(0.0, stats.gc_s - stats.schedule_s - stats.idle_s)
    return max(0.0, stats.execute_s - gc_in_execute_s)


def _longest_chunk(stats: IterationStats) -> ChunkStats | None:
    return max(stats.chunks, key=lambda chunk: chunk.length, default=None)
