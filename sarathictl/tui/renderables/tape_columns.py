"""What the columns of the iteration tape hold: iterations and gaps, laid over time or one a column."""

from bisect import bisect_right
from collections.abc import Sequence
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple

from sarathictl.state.engine_view import EngineView
from sarathictl.state.window import IterationSample
from sarathid.protocol.stats import IterationScheduled


class Axis(StrEnum):
    TIME = "time"
    ITERATION = "iteration"


class Column(NamedTuple):
    """One column: the largest iteration in it, and the longest gap that lay over it; all zero where nothing ran.

    `bubble_share` is that of the pipeline stage that idled most in that iteration. Where a column holds many, they are
    all in it by their time, and `most_tokens` are those of the largest.
    """

    num_decode_tokens: int = 0
    num_prefill_tokens: int = 0
    token_budget: int = 0
    is_running: bool = False
    gap_s: float = 0.0
    bubble_share: float = 0.0
    most_tokens: int = 0

    @property
    def num_tokens(self) -> int:
        return self.num_decode_tokens + self.num_prefill_tokens


IDLE = Column()
MEAN_FROM_S = 0.2  # a column: from here on it mostly holds several iterations
STEP_S = 1.0
MAX_STEP_SHARE = 0.125  # of the width: so much of it waits to be drawn at most


def tape_columns(view: EngineView, axis: Axis, num_columns: int, zoom_s: float) -> list[Column]:
    """Return at most `num_columns` columns, the newest last; over time, what is ahead of `view.now_s` is missing."""
    if axis is Axis.ITERATION:
        return _columns_by_iteration(view, num_columns)
    return _columns_by_time(view, num_columns, zoom_s)


def first_column(now_s: float, num_columns: int, zoom_s: float) -> int:
    """Return the number of the column at the left edge: one begins every `zoom_s` of the monotonic clock.

    The edge stands still for a step, in which what is new is drawn where there was nothing yet: a tape can be read
    then, and takes less than half of the bytes of one that moves at every picture.
    """
    step = max(1, min(round(STEP_S / zoom_s), int(num_columns * MAX_STEP_SHARE)))
    return -(-round(now_s / zoom_s) // step) * step - num_columns


def _columns_by_iteration(view: EngineView, num_columns: int) -> list[Column]:
    columns = [_column(sample, sample.worst_gap_s or 0.0) for sample in view.samples[-num_columns:]]
    if view.running is not None:
        columns = [*columns, _running_column(view.running)][-num_columns:]
    return [IDLE] * (num_columns - len(columns)) + columns


def _columns_by_time(view: EngineView, num_columns: int, zoom_s: float) -> list[Column]:
    """Lay iterations and gaps over the time that they took.

    Columns are those of the clock, so that what was drawn only ever shifts. An iteration is drawn from where the one
    before ended if less than a column lies between.
    """
    first = first_column(view.now_s, num_columns, zoom_s)
    num_columns = round(view.now_s / zoom_s) - first
    tallest: list[IterationSample | None] = [None] * num_columns
    num_tokens = [0] * num_columns
    gaps_s = [0.0] * num_columns
    mixes: list[_Mix] = [_Mix() for _ in range(num_columns if zoom_s >= MEAN_FROM_S else 0)]

    def covered(start: int, stop: int) -> Sequence[int]:
        """Return the columns of a span: neighbours share none, and a short span has one."""
        if stop <= start + 1:  # most have one, for which a range would take four times as long
            return (start,) if 0 <= start < num_columns else ()
        return range(max(start, 0), min(stop, num_columns))

    end_s, stop = 0.0, -first
    for sample in view.samples[bisect_right(view.samples, first * zoom_s, key=attrgetter("end_s")) :]:
        tokens, gap_s = sample.num_decode_tokens + sample.num_prefill_tokens, sample.worst_gap_s
        start = stop if sample.start_s - end_s < zoom_s else round(sample.start_s / zoom_s) - first
        end_s = sample.end_s
        stop = round(end_s / zoom_s) - first
        for index in covered(start, stop):
            if tokens > num_tokens[index]:
                tallest[index], num_tokens[index] = sample, tokens
            if mixes:
                mixes[index].add(sample, min(zoom_s, end_s - sample.start_s))
        if gap_s is not None:
            for index in covered(round((end_s - gap_s) / zoom_s) - first, stop):
                if gap_s > gaps_s[index]:
                    gaps_s[index] = gap_s
    if view.open_gap_s is not None:
        for index in covered(round((view.now_s - view.open_gap_s) / zoom_s) - first, num_columns):
            gaps_s[index] = max(gaps_s[index], view.open_gap_s)
    columns = [
        Column(gap_s=gap_s) if sample is None else _column(sample, gap_s)
        for sample, gap_s in zip(tallest, gaps_s, strict=True)
    ]
    if mixes:
        columns = [mix.mean_of(column) for mix, column in zip(mixes, columns, strict=True)]
    if view.running is not None:
        running = _running_column(view.running)
        start = stop if view.running.start_s - end_s < zoom_s else round(view.running.start_s / zoom_s) - first
        for index in covered(start, num_columns):
            if running.num_tokens > num_tokens[index]:
                columns[index] = running._replace(gap_s=gaps_s[index])
    return columns


class _Mix:
    """The iterations of one column, each by how much of the column's time it took."""

    __slots__ = ("bubble_s", "decode_tokens", "prefill_tokens", "seconds")

    def __init__(self) -> None:
        self.seconds = self.decode_tokens = self.prefill_tokens = self.bubble_s = 0.0

    def add(self, sample: IterationSample, seconds: float) -> None:
        self.seconds += seconds
        self.decode_tokens += seconds * sample.num_decode_tokens
        self.prefill_tokens += seconds * sample.num_prefill_tokens
        self.bubble_s += seconds * (sample.bubble_share or 0.0)

    def mean_of(self, largest: Column) -> Column:
        """Return the column that holds all of them, of which the one that it shows is the largest."""
        if not self.seconds:
            return largest
        return largest._replace(
            num_decode_tokens=round(self.decode_tokens / self.seconds),
            num_prefill_tokens=round(self.prefill_tokens / self.seconds),
            bubble_share=self.bubble_s / self.seconds,
            most_tokens=largest.num_tokens,
        )


def _column(sample: IterationSample, gap_s: float) -> Column:
    return Column(
        sample.num_decode_tokens,
        sample.num_prefill_tokens,
        sample.token_budget,
        gap_s=gap_s,
        bubble_share=sample.bubble_share or 0.0,
    )


def _running_column(running: IterationScheduled) -> Column:
    num_prefill_tokens = sum(chunk.length for chunk in running.chunks)
    return Column(running.num_decode_tokens, num_prefill_tokens, running.token_budget, is_running=True)
