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
    return TapeColumns().of(view, axis, num_columns, zoom_s)


class TapeColumns:
    """Tells the columns of one view after another: over time, what came since the last one alone is laid anew."""

    def __init__(self) -> None:
        self._laid = _Laid(0, 0, 0.0)

    def of(self, view: EngineView, axis: Axis, num_columns: int, zoom_s: float) -> list[Column]:
        """Return what `tape_columns` does."""
        if axis is Axis.ITERATION:
            return _columns_by_iteration(view, num_columns)
        first = first_column(view.now_s, num_columns, zoom_s)
        if not self._laid.goes_on(view.samples, first, num_columns, zoom_s):
            self._laid = _Laid(first, num_columns, zoom_s)
        self._laid.add_newer(view.samples)
        return self._laid.columns_now(view)


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


class _Laid:
    """Iterations and gaps, laid over the time that they took, in columns of the clock from the number `first` on.

    So what was drawn only ever shifts. An iteration is drawn from where the one before ended if less than a column lies
    between.
    """

    def __init__(self, first: int, num_columns: int, zoom_s: float) -> None:
        self._place = (first, num_columns, zoom_s)
        self._first, self._num_columns, self._zoom_s = self._place
        self._newest: IterationSample | None = None
        self._stop = -first  # the column behind the newest iteration's
        self._columns = [IDLE] * num_columns
        self._mixes = [_Mix() for _ in range(num_columns if zoom_s >= MEAN_FROM_S else 0)]

    def goes_on(self, samples: Sequence[IterationSample], *place: float) -> bool:
        """Return whether other iterations, in that place, are those that were laid, and perhaps more."""
        if place != self._place or self._newest is None:
            return False
        index = bisect_right(samples, self._newest.end_s, key=attrgetter("end_s")) - 1
        return index >= 0 and samples[index] is self._newest

    def add_newer(self, samples: Sequence[IterationSample]) -> None:
        """Lay the iterations that ended later than all that were laid."""
        from_s = self._first * self._zoom_s if self._newest is None else self._newest.end_s
        for sample in samples[bisect_right(samples, from_s, key=attrgetter("end_s")) :]:
            self._add(sample)
            self._newest = sample

    def columns_now(self, view: EngineView) -> list[Column]:
        """Return the columns up to the moment of a view, with what runs and who waits then."""
        columns = self._columns[: round(view.now_s / self._zoom_s) - self._first]
        if view.open_gap_s is not None:
            for index in range(max(0, self._column_at(view.now_s - view.open_gap_s)), len(columns)):
                columns[index] = _with_gap(columns[index], view.open_gap_s)
        if view.running is not None:
            running = _running_column(view.running)
            for index in range(max(0, self._start_of(view.running.start_s)), len(columns)):
                if running.num_tokens > max(columns[index].num_tokens, columns[index].most_tokens):
                    columns[index] = running._replace(gap_s=columns[index].gap_s)
        return columns

    def _add(self, sample: IterationSample) -> None:
        columns, num_tokens, gap_s = self._columns, sample.num_tokens, sample.worst_gap_s
        start, stop = self._start_of(sample.start_s), self._column_at(sample.end_s)
        for index in self._covered(start, stop):
            if self._mixes:
                columns[index] = self._mixes[index].with_(sample, columns[index], self._zoom_s)
            elif num_tokens > columns[index].num_tokens:
                columns[index] = _column(sample, columns[index].gap_s)
        if gap_s is not None:
            for index in self._covered(self._column_at(sample.end_s - gap_s), stop):
                if gap_s > columns[index].gap_s:
                    columns[index] = columns[index]._replace(gap_s=gap_s)
        self._stop = stop

    def _start_of(self, start_s: float) -> int:
        """Return the column in which an iteration begins behind the newest."""
        end_s = 0.0 if self._newest is None else self._newest.end_s
        return self._stop if start_s - end_s < self._zoom_s else self._column_at(start_s)

    def _column_at(self, time_s: float) -> int:
        return round(time_s / self._zoom_s) - self._first

    def _covered(self, start: int, stop: int) -> Sequence[int]:
        """Return the columns of a span: neighbours share none, and a short span has one."""
        if stop <= start + 1:  # most have one, for which a range would take four times as long
            return (start,) if 0 <= start < self._num_columns else ()
        return range(max(start, 0), min(stop, self._num_columns))


def _with_gap(column: Column, gap_s: float) -> Column:
    return column._replace(gap_s=max(column.gap_s, gap_s))


class _Mix:
    """The iterations of one column, each by how much of the column's time it took."""

    __slots__ = ("bubble_s", "decode_tokens", "prefill_tokens", "seconds")

    def __init__(self) -> None:
        self.seconds = self.decode_tokens = self.prefill_tokens = self.bubble_s = 0.0

    def with_(self, sample: IterationSample, column: Column, zoom_s: float) -> Column:
        """Return the column that holds one iteration more."""
        seconds = min(zoom_s, sample.duration_s)
        self.seconds += seconds
        self.decode_tokens += seconds * sample.num_decode_tokens
        self.prefill_tokens += seconds * sample.num_prefill_tokens
        self.bubble_s += seconds * (sample.bubble_share or 0.0)
        whole_s = self.seconds or 1.0
        is_largest = sample.num_tokens > column.most_tokens
        return column._replace(
            num_decode_tokens=round(self.decode_tokens / whole_s),
            num_prefill_tokens=round(self.prefill_tokens / whole_s),
            token_budget=sample.token_budget if is_largest else column.token_budget,
            bubble_share=self.bubble_s / whole_s,
            most_tokens=sample.num_tokens if is_largest else column.most_tokens,
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
