"""How requests were served in some span of time, folded from its iterations."""

from sarathid.histogram import LatencyHistogram
from sarathid.protocol.changes import Figures
from sarathid.protocol.stats import IterationStats
from sarathid.telemetry.stage_tally import StageTally


class ServiceTally:
    """All times between tokens and times to first token, in bounded memory, within 1 %, and what stages did."""

    def __init__(self) -> None:
        self._tbt = LatencyHistogram()
        self._ttft = LatencyHistogram()
        self._stages = StageTally()

    @property
    def num_tokens(self) -> int:
        return self._tbt.count + self._ttft.count

    def observe(self, stats: IterationStats) -> None:
        """Take an iteration in."""
        self._tbt.record_each([gap.tbt_s for gap in stats.gaps])
        for first in stats.first_tokens:
            self._ttft.record(first.ttft_s)
        self._stages.observe(stats.stages)

    def merge(self, later: "ServiceTally") -> None:
        """Take in all that `later` has."""
        self._tbt.merge(later._tbt)
        self._ttft.merge(later._ttft)
        self._stages.merge(later._stages)

    def figures(self, window_s: float, target_s: float | None) -> Figures:
        """Return what was seen in a span of `window_s` seconds; TBTs above `target_s` are stalls."""
        return Figures(
            window_s=window_s,
            tbt_p50_s=self._tbt.percentile(0.5),
            tbt_p99_s=self._tbt.percentile(0.99),
            ttft_p50_s=self._ttft.percentile(0.5),
            ttft_p95_s=self._ttft.percentile(0.95),
            ttft_p99_s=self._ttft.percentile(0.99),
            tokens_per_s=self.num_tokens / window_s,
            num_stalls=None if target_s is None else self._tbt.count - self._tbt.num_at_most(target_s),
            tbt_max_s=self._tbt.max_s,
            bubble=self._stages.worst_bubble_share,
        )
