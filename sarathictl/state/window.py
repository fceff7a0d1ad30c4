"""An iteration without its lists: what the tape draws."""

from dataclasses import dataclass

from sarathictl.state.stages import worst_bubble_share
from sarathid.protocol.stats import BudgetBound, IterationStats


@dataclass(frozen=True, slots=True)
class IterationSample:
    """One iteration without its lists: monotonic seconds, tokens, gaps that ended in it, blocks.

    `bubble_share` is that of the pipeline stage that idled most, None without a pipeline.
    """

    sequence_number: int
    start_s: float
    end_s: float
    token_budget: int
    num_decode_tokens: int
    num_prefill_tokens: int
    num_first_tokens: int
    num_gaps: int
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


def sample_of(iteration: IterationStats) -> IterationSample:
    """Return what is kept of an iteration."""
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
        worst_gap_s=max(gaps, default=None),
        num_blocks_used=iteration.num_blocks_used,
        num_blocks_free=iteration.num_blocks_free,
        bound=iteration.bound,
        bubble_share=worst_bubble_share(iteration),
    )
