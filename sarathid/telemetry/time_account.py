"""What the engine's time went to, by cause, over any stretch of the recent past."""

from collections import deque
from dataclasses import dataclass

from sarathid.protocol.stats import IterationStats, StallCause
from sarathid.telemetry.bubble_wait import DecodeShare, waited_s
from sarathid.telemetry.eviction import Eviction
from sarathid.telemetry.iteration_span import IterationSpan
from sarathid.telemetry.parts import Parts, add
from sarathid.telemetry.pauses import Pauses
from sarathid.telemetry.span import Span

NUM_ITERATIONS_KEPT = 4096
NUM_LOSSES_KEPT = 64
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Account:
    """The seconds of each cause, which add up to the span's; `culprit` is the iteration whose prefill took most."""

    parts: Parts
    culprit: IterationSpan | None


class TimeAccount:
    """Remembers iterations, the losses of engines, and when the engine's process was stopped."""

    def __init__(self) -> None:
        self.pauses = Pauses()
        self._iterations: deque[IterationSpan] = deque(maxlen=NUM_ITERATIONS_KEPT)
        self._lost_s: deque[float] = deque(maxlen=NUM_LOSSES_KEPT)
        self._newest: IterationStats | None = None

    def observe(self, stats: IterationStats, isolated_decode_s: float) -> None:
        """Take an iteration in; `isolated_decode_s` is what its decodes cost where there is no prediction."""
        self._iterations.append(IterationSpan.of(stats, self._newest, isolated_decode_s))
        self._newest = stats

    def lose_engine(self, unrecorded_s: float | None) -> None:
        """Note that the engine is gone: its last tokens are followed by nothing until another one has its place.

        They were made at `unrecorded_s`, unless by the last iteration of which there is a record.
        """
        if unrecorded_s is not None:
            self._lost_s.append(unrecorded_s)
        elif self._newest is not None:
            self._lost_s.append(self._newest.tokens_s)
        self._newest = None

    def newest_iteration(self, time_s: float) -> int:
        """Return the number of the last iteration whose tokens came by `time_s`, 0 where none is known."""
        return next((each.sequence_number for each in reversed(self._iterations) if each.whole.until_s <= time_s), 0)

    def of(self, span: Span, request_id: int) -> Account:
        """Return what `span`, in which a request waited for its next token, went to.

        From where the engine was lost all of it is the restart's. From where the request was preempted all computing
        is the preemption's, since it was others' turn or was done again, but for that in which it had to wait for
        blocks. What decodes took while a pipeline waited is its bubbles'. What is not remembered is unexplained.
        """
        parts = Parts(float)
        lost_s = next((each_s for each_s in self._lost_s if span.from_s - _ROUNDING_S <= each_s < span.until_s), None)
        if lost_s is not None:
            add(parts, self._restart(Span(lost_s, span.until_s)))
            span = Span(min(span.from_s, lost_s), lost_s)
        spanned = self._spanned_by(span)
        culprit = self._add_iterations(parts, spanned, span, request_id)
        remembered_s = sum(each.whole.within(span).seconds for each in spanned)
        parts[StallCause.UNEXPLAINED] += max(0.0, span.seconds - remembered_s)
        return Account(parts, culprit)

    def _add_iterations(
        self, parts: Parts, spanned: list[IterationSpan], span: Span, request_id: int
    ) -> IterationSpan | None:
        """Add what of `span` went to iterations, oldest first; return the one whose prefill took most."""
        culprit, most_prefill_s = None, 0.0
        eviction, decodes = Eviction(request_id), list[DecodeShare]()
        for each in spanned:
            found = each.parts_within(span, self.pauses)
            if 0.0 < found[StallCause.PREFILL] >= most_prefill_s:
                culprit, most_prefill_s = each, found[StallCause.PREFILL]
            cause = eviction.cause_in(each)
            if cause is None:
                decodes.append(DecodeShare(each, found[StallCause.DECODE]))
            else:
                found[cause] += found.pop(StallCause.PREFILL) + found.pop(StallCause.DECODE)
            add(parts, found)
        bubble_s = waited_s(decodes)
        add(parts, {StallCause.BUBBLE: bubble_s, StallCause.DECODE: -bubble_s})
        return culprit

    def _restart(self, span: Span) -> dict[StallCause, float]:
        paused_s = self.pauses.seconds_within(span)
        return {StallCause.ENGINE_PAUSE: paused_s, StallCause.RESTART: span.seconds - paused_s}

    def _spanned_by(self, span: Span) -> list[IterationSpan]:
        """Return the iterations that have a part of `span`, oldest first."""
        spanned = []
        for each in reversed(self._iterations):
            if each.whole.until_s <= span.from_s:
                break
            if each.whole.within(span).seconds > 0.0:
                spanned.append(each)
        return spanned[::-1]
