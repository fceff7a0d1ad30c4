"""What each second amounted to: latencies, tokens, blocks. An hour of them is what every window is counted from."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

from sarathid.histogram import LatencyHistogram
from sarathid.protocol.stats import IterationStats

MAX_SECONDS = 3_661  # an hour, and the minute that a segment may begin before it


class SecondFigures:
    """The iterations that ended in second `number` of the monotonic clock.

    `num_over` counts the gaps above the target that was in force when they were folded.
    """

    __slots__ = (
        "end_s",
        "num_blocks_free",
        "num_blocks_used",
        "num_gaps",
        "num_over",
        "num_tokens",
        "number",
        "tbt",
        "ttft",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.end_s = float(number)
        self.tbt = LatencyHistogram()
        self.ttft: LatencyHistogram | None = None  # most seconds have no first token
        self.num_tokens = 0
        self.num_gaps = 0
        self.num_over = 0
        self.num_blocks_used = 0
        self.num_blocks_free = 0

    def add(self, iteration: IterationStats, target_s: float | None) -> None:
        """Take in an iteration."""
        self.end_s = iteration.end_s
        for tbt_s, count in Counter([gap.tbt_s for gap in iteration.gaps]).items():
            self.tbt.record(tbt_s, count)
            self.num_over += count if target_s is not None and tbt_s > target_s else 0
        for first in iteration.first_tokens:
            self.ttft = self.ttft or LatencyHistogram()
            self.ttft.record(first.ttft_s)
        self.num_gaps += len(iteration.gaps)
        self.num_tokens += len(iteration.gaps) + len(iteration.first_tokens)
        self.num_blocks_used = iteration.num_blocks_used
        self.num_blocks_free = iteration.num_blocks_free


class SecondsWindow:
    """The last hour of seconds in which an iteration ended, oldest first.

    A window of `span_s` ends now and begins with a whole second, so that it is up to a second shorter.
    """

    def __init__(self, seconds: Iterable[SecondFigures] = ()) -> None:
        """Begin behind `seconds`, which are over: others may hold them too, and none is changed any more."""
        self._seconds = {second.number: second for second in seconds}
        self._sums: dict[tuple[float, str], _Sum] = {}

    def add(self, iteration: IterationStats, target_s: float | None) -> None:
        """Take in the newest iteration."""
        number = int(iteration.end_s)
        newest = self._newest
        if newest is None or newest.number < number:
            newest = self._seconds[number] = SecondFigures(number)
            if len(self._seconds) > MAX_SECONDS:
                del self._seconds[next(iter(self._seconds))]
        newest.add(iteration, target_s)

    def before(self, number: float) -> Iterator[SecondFigures]:
        """Yield the seconds before one."""
        return takewhile(lambda second: second.number < number, self._seconds.values())

    def tbt(self, now_s: float, span_s: float) -> LatencyHistogram:
        """Return the times between tokens of the window."""
        return self._latencies(now_s, span_s, "tbt")

    def ttft(self, now_s: float, span_s: float) -> LatencyHistogram:
        """Return the times to first token of the window."""
        return self._latencies(now_s, span_s, "ttft")

    def output_rate(self, now_s: float, span_s: float) -> float:
        """Return output tokens a second."""
        return sum(second.num_tokens for second in self._since(now_s, span_s)) / (now_s - _first(now_s, span_s))

    def goodput(self, now_s: float, span_s: float) -> float:
        """Return output tokens a second that came in time, the first ones of requests counted as such."""
        num_in_time = sum(second.num_tokens - second.num_over for second in self._since(now_s, span_s))
        return num_in_time / (now_s - _first(now_s, span_s))

    def attainment(self, now_s: float, span_s: float) -> float | None:
        """Return the share of gaps that met the target; None without gaps."""
        recent = list(self._since(now_s, span_s))
        num_gaps = sum(second.num_gaps for second in recent)
        return 1.0 - sum(second.num_over for second in recent) / num_gaps if num_gaps else None

    def attainments(self, now_s: float, step_s: int, num_steps: int) -> tuple[float | None, ...]:
        """Return the share of gaps that met the target in each of the latest steps, oldest first; None without gaps.

        Steps begin at whole multiples of `step_s`, so that what was told of one that is over stays.
        """
        newest = int(now_s) // step_s
        num_gaps, num_over = Counter[int](), Counter[int]()
        first = (newest - num_steps + 1) * step_s
        for second in takewhile(lambda second: second.number >= first, reversed(self._seconds.values())):
            num_gaps[second.number // step_s] += second.num_gaps
            num_over[second.number // step_s] += second.num_over
        steps = range(newest - num_steps + 1, newest + 1)
        return tuple(1.0 - num_over[step] / num_gaps[step] if num_gaps[step] else None for step in steps)

    def kv_growth(self, now_s: float, span_s: float) -> float | None:
        """Return the change of KV cache use as a share of it a second, None where little of the window is known."""
        recent = list(self._since(now_s, span_s))
        if len(recent) < 2 or recent[0].end_s - recent[-1].end_s < span_s / 2:
            return None
        newest, oldest = recent[0], recent[-1]
        num_blocks = newest.num_blocks_used + newest.num_blocks_free
        return (newest.num_blocks_used - oldest.num_blocks_used) / num_blocks / (newest.end_s - oldest.end_s)

    @property
    def _newest(self) -> SecondFigures | None:
        return next(reversed(self._seconds.values()), None)

    def _since(self, now_s: float, span_s: float) -> Iterator[SecondFigures]:
        """Yield the seconds of a window, newest first."""
        first = _first(now_s, span_s)
        return takewhile(lambda second: second.number >= first, reversed(self._seconds.values()))

    def _latencies(self, now_s: float, span_s: float, name: str) -> LatencyHistogram:
        """Return the histograms of a window as one; its seconds that are over are summed up once and for all."""
        newest = self._newest
        first = _first(now_s, span_s)
        if newest is None or newest.number < first:
            return LatencyHistogram()
        summed = self._sums.get((span_s, name))
        if summed is None or not summed.first <= first <= summed.end <= newest.number:
            summed = self._sums[span_s, name] = _Sum(name, first)
        summed.move(self._seconds, first, newest.number)
        return _merged([summed.histogram, getattr(newest, name)])


class _Sum:
    """The histograms of the seconds from `first` to before `end`, which may move on together."""

    def __init__(self, name: str, first: int) -> None:
        self._name = name
        self.first = self.end = first
        self.histogram = LatencyHistogram()

    def move(self, seconds: Mapping[int, SecondFigures], first: int, end: int) -> None:
        """Begin and end later, by whole seconds."""
        for histogram in self._histograms(seconds, range(self.end, end)):
            self.histogram.merge(histogram)
        gone = [histogram for histogram in self._histograms(seconds, range(self.first, first)) if histogram.count]
        self.first, self.end = first, end
        if gone:
            self._remove(seconds, gone)

    def _remove(self, seconds: Mapping[int, SecondFigures], gone: Sequence[LatencyHistogram]) -> None:
        for histogram in gone:
            self.histogram.remove(histogram)
        left = self._histograms(seconds, range(self.first, self.end))
        self.histogram.max_s = max((found.max_s for found in left if found.max_s is not None), default=None)

    def _histograms(self, seconds: Mapping[int, SecondFigures], numbers: range) -> Iterator[LatencyHistogram]:
        for number in numbers:
            if number in seconds and (histogram := getattr(seconds[number], self._name)) is not None:
                yield histogram


def _first(now_s: float, span_s: float) -> int:
    return int(now_s - span_s) + 1


def _merged(histograms: Iterable[LatencyHistogram | None]) -> LatencyHistogram:
    """Return the samples of all histograms as one."""
    whole = LatencyHistogram()
    for histogram in histograms:
        if histogram is not None:
            whole.merge(histogram)
    return whole
