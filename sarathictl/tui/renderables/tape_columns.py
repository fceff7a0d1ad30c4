"""What the columns of the iteration tape hold: iterations and gaps, laid over time or one a column."""

from bisect import bisect_right
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

    `bubble_share` is that of the pipeline stage that idled most in that iteration.
    """

    num_decode_tokens: int = 0
    num_prefill_tokens: int = 0
    token_budget: int = 0
    is_running: bool = False
    gap_s: float = 0.0
    bubble_share: float = 0.0

    @property
    def num_tokens(self) -> int:
        return self.num_decode_tokens + self.num_prefill_tokens


IDLE = Column()


def tape_columns(view: EngineView, axis: Axis, num_columns: int, zoom_s: float) -> list[Column]:
    """Return `num_columns` columns, the newest last."""
    if axis is Axis.ITERATION:
        return _columns_by_iteration(view, num_columns)
    return _columns_by_time(view, num_columns, zoom_s)


def _columns_by_iteration(view: EngineView, num_columns: int) -> list[Column]:
    columns = [_column(sample, sample.worst_gap_s or 0.0) for sample in view.samples[-num_columns:]]
    if view.running is not None:
        columns = [*columns, _running_column(view.running)][-num_columns:]
    return [IDLE] * (num_columns - len(columns)) + columns


def _columns_by_time(view: EngineView, num_columns: int, zoom_s: float) -> list[Column]:
    """Lay iterations and gaps over the time that they took.

    The right edge moves by whole columns, so that what was drawn only ever shifts.
    """
    last = round(view.now_s / zoom_s) - 1
    first = last - num_columns + 1
    tallest: list[IterationSample | None] = [None] * num_columns
    num_tokens = [0] * num_columns
    gaps_s = [0.0] * num_columns

    def covered(start_s: float, end_s: float) -> range:
        """Return the columns of a span: neighbours share none, and a short span has one."""
        start = round(start_s / zoom_s) - first
        stop = round(end_s / zoom_s) - first
        if stop <= start:
            stop = start + 1
        return range(start if start > 0 else 0, stop if stop < num_columns else num_columns)

    def wait(gap_s: float, end_s: float) -> None:
        for index in covered(end_s - gap_s, end_s):
            if gap_s > gaps_s[index]:
                gaps_s[index] = gap_s

    end_s = 0.0
    for sample in view.samples[bisect_right(view.samples, first * zoom_s, key=attrgetter("end_s")) :]:
        tokens = sample.num_decode_tokens + sample.num_prefill_tokens
        for index in covered(_joined(end_s, sample.start_s, zoom_s), sample.end_s):
            if tokens > num_tokens[index]:
                tallest[index], num_tokens[index] = sample, tokens
        end_s = sample.end_s
        if sample.worst_gap_s is not None:
            wait(sample.worst_gap_s, end_s)
    if view.open_gap_s is not None:
        wait(view.open_gap_s, view.now_s)
    columns = [
        Column(gap_s=gap_s) if sample is None else _column(sample, gap_s)
        for sample, gap_s in zip(tallest, gaps_s, strict=True)
    ]
    if view.running is not None:
        running = _running_column(view.running)
        for index in covered(_joined(end_s, view.running.start_s, zoom_s), view.now_s):
            if running.num_tokens > num_tokens[index]:
                columns[index] = running._replace(gap_s=gaps_s[index])
    return columns


def _joined(end_s: float, start_s: float, zoom_s: float) -> float:
    """Return where an iteration is drawn from: where the one before ended, if less than a column lies between."""
    return end_s if start_s - end_s < zoom_s else start_s


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
