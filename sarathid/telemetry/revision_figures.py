"""How requests were served under one revision of the settings."""

from sarathid.histogram import LatencyHistogram
from sarathid.protocol.changes import Figures
from sarathid.protocol.stats import IterationStats


class RevisionFigures:
    """Folds the iterations of one revision from when it came in force, for `max_s` seconds at most."""

    def __init__(self, revision: int, since_s: float, max_s: float) -> None:
        self.revision = revision
        self.until_s = since_s + max_s
        self._since_s = since_s
        self._tbt = LatencyHistogram()
        self._ttft = LatencyHistogram()

    def observe(self, stats: IterationStats) -> None:
        """Take an iteration in, unless it ran under another revision."""
        if stats.revision != self.revision:
            return
        for gap in stats.gaps:
            self._tbt.record(gap.tbt_s)
        for first in stats.first_tokens:
            self._ttft.record(first.ttft_s)

    def summary(self, now_s: float) -> Figures | None:
        """Return what was seen until now, None when no request got a token."""
        num_tokens = self._tbt.count + self._ttft.count
        if not num_tokens:
            return None
        window_s = min(now_s, self.until_s) - self._since_s
        return Figures(
            window_s=window_s,
            tbt_p99_s=self._tbt.percentile(0.99),
            ttft_p50_s=self._ttft.percentile(0.5),
            ttft_p95_s=self._ttft.percentile(0.95),
            tokens_per_s=num_tokens / window_s,
        )
