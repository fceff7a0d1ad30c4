"""Several daemons side by side: what each says of itself, and which stand out from the others."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from sarathictl import units
from sarathictl.state.retuning import budget_in_words
from sarathid.protocol.control import Status

MIN_DAEMONS_TO_COMPARE = 3
FAR_ABOVE = 1.5


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure in words; `is_bad` when it misses a target, `is_odd` when it is far above the other daemons'."""

    words: str
    is_bad: bool = False
    is_odd: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One column: its heading, its width, how it is read off a status and written; the highest rank goes first."""

    heading: str
    width: int
    rank: int
    value: Callable[[Status], float | None]
    shown: Callable[[Status], str]
    is_compared: bool = True


def _share_used(status: Status) -> float:
    num_blocks = status.num_blocks_used + status.num_blocks_free
    return status.num_blocks_used / num_blocks if num_blocks else 0.0


def _in_time(status: Status) -> float | None:
    has_target = status.settings is not None and status.settings.slo.tbt_s is not None
    return 1.0 - min(1.0, status.num_late / status.tbt.count) if has_target and status.tbt.count else None


def _fill(status: Status) -> float | None:
    return None if status.work is None else status.work.fill


def _bubble(status: Status) -> float | None:
    return None if status.work is None else status.work.bubble


def _budget(status: Status) -> str:
    return units.ABSENT if status.settings is None else budget_in_words(status.settings).replace(", profiled", "p")


def _revision(status: Status) -> str:
    return units.ABSENT if status.settings is None else f"r{status.settings.revision}"


FIGURES = (
    Figure("TBT p99", 9, 0, lambda status: status.tbt.p99_s, lambda status: units.duration(status.tbt.p99_s)),
    Figure("IN TIME", 8, 2, _in_time, lambda status: units.share(_in_time(status)), is_compared=False),
    Figure("TTFT p99", 9, 3, lambda status: status.ttft.p99_s, lambda status: units.duration(status.ttft.p99_s)),
    Figure("RUN", 5, 1, lambda status: status.num_running, lambda status: str(status.num_running)),
    Figure("WAIT", 5, 1, lambda status: status.num_waiting, lambda status: str(status.num_waiting)),
    Figure("KV", 6, 2, _share_used, lambda status: units.share(_share_used(status))),
    Figure("FILL", 6, 5, _fill, lambda status: units.share(_fill(status)), is_compared=False),
    Figure("BUBBLE", 7, 6, _bubble, lambda status: units.share(_bubble(status))),
    Figure("STALLS", 7, 4, lambda status: status.num_late, lambda status: str(status.num_late)),
    Figure("BUDGET", 7, 3, lambda _: None, _budget, is_compared=False),
    Figure("REV", 5, 7, lambda _: None, _revision, is_compared=False),
)


def figures_for(width: int) -> list[Figure]:
    """Return the figures that fit into `width` cells, those that matter least left out."""
    chosen = list(FIGURES)
    while len(chosen) > 1 and sum(figure.width for figure in chosen) > width:
        chosen.remove(max(chosen, key=lambda figure: figure.rank))
    return chosen


def median_words(figure: Figure, statuses: Sequence[Status]) -> str:
    """Return the figure of the daemon in the middle, "" for one that is not compared."""
    ranked = sorted(_present(figure, statuses), key=lambda found: found[0])
    return figure.shown(ranked[len(ranked) // 2][1]) if figure.is_compared and ranked else ""


def cell_of(figure: Figure, status: Status, others: Sequence[Status]) -> Cell:
    """Return a figure of one daemon, held against its targets and against the median of the `others`."""
    value = figure.value(status)
    return Cell(figure.shown(status), is_bad=_misses(figure, value, status), is_odd=_is_odd(figure, value, others))


def _misses(figure: Figure, value: float | None, status: Status) -> bool:
    if value is None or status.settings is None:
        return False
    slo = status.settings.slo
    target_s = {"TBT p99": slo.tbt_s, "TTFT p99": slo.ttft_s}.get(figure.heading)
    return target_s is not None and value > target_s


def _is_odd(figure: Figure, value: float | None, others: Sequence[Status]) -> bool:
    seen = [found for found, _ in _present(figure, others)]
    if value is None or not figure.is_compared or len(seen) < MIN_DAEMONS_TO_COMPARE - 1:
        return False
    return value > FAR_ABOVE * median(seen) > 0.0


def _present(figure: Figure, statuses: Iterable[Status]) -> list[tuple[float, Status]]:
    found = ((figure.value(status), status) for status in statuses)
    return [(value, status) for value, status in found if value is not None]
