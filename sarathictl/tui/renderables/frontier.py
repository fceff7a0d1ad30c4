"""Budgets beside each other: as one latency falls the other rises, each as a bar."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from rich.text import Text

from sarathictl import units
from sarathictl.state.forecast import basis_in_words, is_trusted, trust_in_words
from sarathictl.state.frontier import Trial, trials_of
from sarathictl.tui.renderables.line import Piece, bar, fit, line
from sarathictl.tui.renderables.look import Look
from sarathid.protocol.plan import Planned

_NAME_WIDTH = 9
_TIME_WIDTH = 8
_STALLS_WIDTH = 8
_MARK_WIDTH = 2


def draw_frontier(planned: Planned, width: int, look: Look) -> list[Text]:
    """Return a heading, a line a budget, what they rest on and how far to trust them; grey if they can't be trusted."""
    if not is_trusted(planned):
        look = look.faded()
    trials = list(trials_of(planned))
    num_cells = max(1, (width - _NAME_WIDTH - _STALLS_WIDTH) // 2 - _TIME_WIDTH - _MARK_WIDTH - 1)
    column = _TIME_WIDTH + _MARK_WIDTH + 1 + num_cells
    heading = f"{'budget':<{_NAME_WIDTH}}{'TBT P99':>{_TIME_WIDTH}}".ljust(_NAME_WIDTH + column)
    heading += f"{'TTFT P95':>{_TIME_WIDTH}}".ljust(column) + f"{'stalls':>{_STALLS_WIDTH}}"
    return [
        fit(line([(heading, look.faint)]), width),
        *(fit(line(_row(trial, trials, num_cells, look)), width) for trial in trials),
        *(line([(part, look.faint)]) for words in _words(planned) for part in wrap(words, width)),
    ]


def _words(planned: Planned) -> Iterator[str]:
    yield basis_in_words(planned)
    yield trust_in_words(planned)


def _row(trial: Trial, trials: Sequence[Trial], num_cells: int, look: Look) -> Iterator[Piece]:
    mark = "▶" if trial.is_now else " "
    yield f"{mark}{trial.budget:>{_NAME_WIDTH - 3}}  ", look.strong if trial.is_now else look.plain
    yield from _bar(trial.tbt_s, trial.holds_tbt, [other.tbt_s for other in trials], num_cells, look)
    yield from _bar(trial.ttft_s, trial.holds_ttft, [other.ttft_s for other in trials], num_cells, look)
    yield f"{units.ABSENT if trial.num_stalls is None else trial.num_stalls:>{_STALLS_WIDTH}}", look.plain


def _bar(
    value_s: float | None, is_held: bool | None, all_s: Sequence[float | None], num_cells: int, look: Look
) -> Iterator[Piece]:
    """Yield a time, whether it holds its target, and a bar as long as its share of the longest of all."""
    longest_s = max((found_s for found_s in all_s if found_s is not None), default=0.0)
    share = value_s / longest_s if value_s is not None and longest_s else 0.0
    style = look.over if is_held is False else look.plain
    yield f"{units.duration(value_s):>{_TIME_WIDTH}}", style
    yield {None: "  ", True: " ✔", False: " ✘"}[is_held], style
    yield " " + bar(share, num_cells), look.over if is_held is False else look.decode
