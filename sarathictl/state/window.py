"""The last iterations in bounded memory: what the tape draws and the rates are counted from."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from sarathictl.state.stages import worst_bubble_share
from sarathid.protocol.stats import BudgetBound, IterationStats

MAX_ITERATIONS = 4096


@dataclass(frozen=True, slots=True)
class IterationSample:
    """One iteration without its lists: monotonic seconds, tokens, gaps that ended in it, blocks.

    `num_over` counts the gaps above the target that was in force when the iteration was folded. `bubble_share` is that
    of the pipeline stage that idled most, None without a pipeline.
    """

    sequence_number: int
    start_s: float
    end_s: float
    token_budget: int
    num_decode_tokens: int
    num_prefill_tokens: int
    num_first_tokens: int
    num_gaps: int
    num_over: int
    worst_gap_s: float | None
    num_blocks_used: int
    num_blocks_free: int
    bound: BudgetBound
    bubble_share: float | None = None

    @property
    def num_tokens(self) -> int:
        return self.num_decode_tokens + self.num_prefill_tokens

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


def sample_of(iteration: IterationStats, target_s: float | None) -> IterationSample:
    """Return what the window keeps of an iteration; gaps above `target_s` count as over it."""
    gaps = [gap.tbt_s for gap in iteration.gaps]
    return IterationSample(
        sequence_number=iteration.sequence_number,
        start_s=iteration.start_s,
        end_s=iteration.end_s,
        token_budget=iteration.token_budget,
        num_decode_tokens=iteration.num_decode_tokens,
        num_prefill_tokens=iteration.num_prefill_tokens,
        num_first_tokens=len(iteration.first_tokens),
        num_gaps=len(gaps),
        num_over=0 if target_s is None else sum(gap > target_s for gap in gaps),
        worst_gap_s=max(gaps, default=None),
        num_blocks_used=iteration.num_blocks_used,
        num_blocks_free=iteration.num_blocks_free,
        bound=iteration.bound,
        bubble_share=worst_bubble_share(iteration),
    )


class IterationWindow:
    """The samples of the last iterations, oldest first."""

    def __init__(self) -> None:
        self._samples: deque[IterationSample] = deque(maxlen=MAX_ITERATIONS)

    def append(self, sample: IterationSample) -> None:
        """Add the newest sample, dropping the oldest when there are too many."""
        self._samples.append(sample)

    @property
    def samples(self) -> tuple[IterationSample, ...]:
        return tuple(self._samples)

    @property
    def last(self) -> IterationSample | None:
        """The newest sample, None before the first."""
        return self._samples[-1] if self._samples else None

    def since(self, start_s: float) -> Iterator[IterationSample]:
        """Yield the samples that ended after `start_s`, newest first."""
        return takewhile(lambda sample: sample.end_s > start_s, reversed(self._samples))

    def output_rate(self, now_s: float, span_s: float) -> float:
        """Return output tokens a second over the last `span_s` seconds."""
        return sum(sample.num_gaps + sample.num_first_tokens for sample in self.since(now_s - span_s)) / span_s

    def attainment(self, now_s: float, span_s: float) -> float | None:
        """Return the share of gaps in the last `span_s` seconds that met the target; None without gaps."""
        recent = list(self.since(now_s - span_s))
        num_gaps = sum(sample.num_gaps for sample in recent)
        return 1.0 - sum(sample.num_over for sample in recent) / num_gaps if num_gaps else None

    def kv_growth(self, now_s: float, span_s: float) -> float | None:
        """Return the change of KV cache use over the last `span_s` seconds, as a share of it a second."""
        recent = list(self.since(now_s - span_s))
        if len(recent) < 2 or recent[0].end_s - recent[-1].end_s < span_s / 2:
            return None
        newest, oldest = recent[0], recent[-1]
        num_blocks = newest.num_blocks_used + newest.num_blocks_free
        return (newest.num_blocks_used - oldest.num_blocks_used) / num_blocks / (newest.end_s - oldest.end_s)
