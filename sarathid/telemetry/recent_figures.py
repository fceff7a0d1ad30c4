"""How requests were served lately: latencies and rates over a sliding window."""

from sarathid.histogram import LatencyWindow
from sarathid.protocol.stats import IterationStats, StallEvent, StreamRecord
from sarathid.slo.guard import Metric

_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


class RecentFigures:
    """Folds iterations and stalls; what it answers is of the last `window_s` seconds.

    `late` holds the TBTs that the engine made above the target, `prediction_error` by which share of the time that they
    took iterations were predicted wrong.
    """

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self.tbt = LatencyWindow(window_s)
        self.ttft = LatencyWindow(window_s)
        self.late = LatencyWindow(window_s)
        self.prediction_error = LatencyWindow(window_s)  # of shares instead of seconds
        self._stalls = LatencyWindow(window_s)
        self._since_s: float | None = None

    def observe(self, record: StreamRecord) -> None:
        """Take a record in."""
        match record:
            case IterationStats():
                self._observe_iteration(record)
            case StallEvent():
                for victim in record.victims:
                    self._stalls.add(record.time_s, victim.tbt_s)
                    if not record.is_delivery:
                        self.late.add(record.time_s, victim.tbt_s)

    def by_metric(self, now_s: float) -> dict[Metric, float]:
        """Return every metric that anything is known of."""
        if self._since_s is None:
            return {}
        values = {Metric.STALLS_PER_S: self._stalls.count(now_s) / self._span_s(now_s)}
        values[Metric.TOKENS_PER_S] = self._tokens_per_s(now_s)
        for name, window in (("tbt", self.tbt), ("ttft", self.ttft)):
            histogram = window.histogram(now_s)
            for percentile, share in _PERCENTILES.items():
                if (value_s := histogram.percentile(share)) is not None:
                    values[Metric(f"{name}.{percentile}")] = value_s
        return values

    def _observe_iteration(self, stats: IterationStats) -> None:
        if self._since_s is None:
            self._since_s = stats.start_s
        if stats.predicted_s is not None and stats.execute_s > 0.0:
            self.prediction_error.add(stats.end_s, abs(stats.predicted_s - stats.execute_s) / stats.execute_s)
        self.tbt.add_each(stats.end_s, [gap.tbt_s for gap in stats.gaps])
        for first in stats.first_tokens:
            self.ttft.add(stats.end_s, first.ttft_s)

    def _tokens_per_s(self, now_s: float) -> float:
        return (self.tbt.count(now_s) + self.ttft.count(now_s)) / self._span_s(now_s)

    def _span_s(self, now_s: float) -> float:
        """Return the seconds that the windows tell of: all of them, or those since the first iteration."""
        assert self._since_s is not None
        return min(self.window_s, max(now_s - self._since_s, self.window_s / LatencyWindow.NUM_SLICES))
