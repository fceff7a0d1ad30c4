"""Latency distributions in bounded memory: a log-bucketed histogram and a sliding window of them."""

import math
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

RELATIVE_ERROR = 0.01
# Seconds by which metrics tell of a distribution; dense where a target of interactive use lies.
EXPOSED_BOUNDS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15),
    *(0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0),
)

_GAMMA = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR)
_LOG_GAMMA = math.log(_GAMMA)
_SMALLEST_S = 1e-6


class LatencyHistogram:
    """Counts seconds in buckets that grow by 2 %, so that any percentile is within 1 % of a sample.

    The buckets are those of DDSketch (Masson et al., VLDB 2019); the maximum is exact.
    """

    __slots__ = ("_counts", "count", "max_s", "sum_s")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.sum_s = 0.0
        self.max_s: float | None = None

    def record(self, seconds: float, count: int = 1) -> None:
        """Add `count` samples of so many non-negative seconds."""
        bucket = _bucket_of(seconds)
        self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += count
        self.sum_s += seconds * count
        if self.max_s is None or seconds > self.max_s:
            self.max_s = seconds

    def record_each(self, seconds: Iterable[float]) -> None:
        """Add samples, of which most may be the same: the gaps of an iteration without a newcomer, say."""
        for value_s, count in Counter(seconds).items():
            self.record(value_s, count)

    def merge(self, other: "LatencyHistogram") -> None:
        """Add every sample of `other`."""
        counts = self._counts
        for bucket, count in other._counts.items():
            counts[bucket] = counts.get(bucket, 0) + count
        self.count += other.count
        self.sum_s += other.sum_s
        if other.max_s is not None and (self.max_s is None or other.max_s > self.max_s):
            self.max_s = other.max_s

    def remove(self, other: "LatencyHistogram") -> None:
        """Take the samples of `other` away again, all of which were added; the maximum stays as it is."""
        counts = self._counts
        for bucket, count in other._counts.items():
            counts[bucket] -= count
            if not counts[bucket]:
                del counts[bucket]
        self.count -= other.count
        self.sum_s -= other.sum_s

    def percentile(self, q: float) -> float | None:
        """Return the smallest sample (within 1 %) that a share `q` in [0, 1] of all does not exceed, in seconds."""
        return self.percentiles((q,))[0]

    def percentiles(self, qs: Sequence[float]) -> list[float | None]:
        """Return the percentile of each share, all after one sort of the buckets."""
        if self.max_s is None:
            return [None] * len(qs)
        found: list[float | None] = []
        buckets = sorted(self._counts)
        num_at_most = list(accumulate([self._counts[bucket] for bucket in buckets]))
        for q in qs:
            rank = max(1, math.ceil(q * self.count))
            if rank >= self.count:
                found.append(self.max_s)
            else:
                found.append(min(_middle_of(buckets[bisect_left(num_at_most, rank)]), self.max_s))
        return found

    def buckets(self) -> Iterator[tuple[float, int]]:
        """Yield the upper edge in seconds and the number of samples of each bucket that has any, the shortest first."""
        for bucket in sorted(self._counts):
            yield math.exp(bucket * _LOG_GAMMA), self._counts[bucket]

    def num_at_most(self, seconds: float) -> int:
        """Return how many samples are at most `seconds` (within 1 %)."""
        last = _bucket_of(seconds)
        return sum(count for bucket, count in self._counts.items() if bucket <= last)

    def num_at_most_each(self, bounds_s: Sequence[float]) -> list[int]:
        """Return how many samples are at most as long as each of these bounds, which ascend (within 1 %)."""
        found, seen, left = [], 0, sorted(self._counts, reverse=True)
        for bound_s in bounds_s:
            last = _bucket_of(bound_s)
            while left and left[-1] <= last:
                seen += self._counts[left.pop()]
            found.append(seen)
        return found


class LatencyWindow:
    """The samples of the last `window_s` seconds, kept as `NUM_SLICES` histograms of equal span."""

    NUM_SLICES = 20

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self._slice_s = window_s / self.NUM_SLICES
        self._slices: deque[tuple[int, LatencyHistogram]] = deque(maxlen=self.NUM_SLICES + 1)

    def add(self, time_s: float, value_s: float) -> None:
        """Add a sample of `value_s` observed at `time_s`; times must not go backwards by more than a slice."""
        self._slice_at(time_s).record(value_s)

    def add_each(self, time_s: float, values_s: Iterable[float]) -> None:
        """Add samples observed at `time_s`, of which most may be the same."""
        self._slice_at(time_s).record_each(values_s)

    def histogram(self, now_s: float) -> LatencyHistogram:
        """Return the samples of (now - window, now] as one histogram."""
        merged = LatencyHistogram()
        oldest = int((now_s - self.window_s) // self._slice_s)
        for index, histogram in self._slices:
            if index > oldest:
                merged.merge(histogram)
        return merged

    def percentile(self, q: float, now_s: float) -> float | None:
        return self.histogram(now_s).percentile(q)

    def max_s(self, now_s: float) -> float | None:
        return self.histogram(now_s).max_s

    def count(self, now_s: float) -> int:
        return self.histogram(now_s).count

    def _slice_at(self, time_s: float) -> LatencyHistogram:
        """Return the slice of a moment, a new one where it is the first in it."""
        index = int(time_s // self._slice_s)
        if not self._slices or self._slices[-1][0] < index:
            self._slices.append((index, LatencyHistogram()))
        return self._slices[-1][1]


def _bucket_of(seconds: float) -> int:
    return math.ceil(math.log(max(seconds, _SMALLEST_S)) / _LOG_GAMMA)


def _middle_of(bucket: int) -> float:
    return 2.0 * math.exp(bucket * _LOG_GAMMA) / (1.0 + _GAMMA)
