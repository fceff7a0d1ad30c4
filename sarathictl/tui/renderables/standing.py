"""The newest change on one line: what it changed, when it is taken back, and what was said against what came."""

from collections.abc import Iterator

from rich.text import Text

from sarathictl import units
from sarathictl.state.comparison import said_and_measured
from sarathictl.state.retuning import change_in_words, outcome_in_words
from sarathictl.state.standing import Standing
from sarathictl.tui.renderables.line import as_many_as_fit, bar, fit, line
from sarathictl.tui.renderables.look import Look

_BAR_CELLS = 8


def draw_standing(standing: Standing, width: int, look: Look) -> Text:
    """Return the line: what matters least, at its end, goes first where it gets narrow."""
    return fit(as_many_as_fit(list(_pieces(standing, look)), width), width)


def _pieces(standing: Standing, look: Look) -> Iterator[Text]:
    revision = standing.revision
    yield line([(f" r{revision.revision} ", look.strong), (change_in_words(revision), look.plain)])
    if standing.due_s is not None:
        yield _countdown(standing, standing.due_s, look)
        yield line([("k", look.strong), (" keep ", look.plain), ("u", look.strong), (" undo", look.plain)])
    else:
        yield line([(outcome_in_words(revision), look.faint)])
    for name, words, is_held in said_and_measured(revision.predicted, standing.measured, revision.new.slo):
        yield line([(f"{name} ", look.faint), (words, look.plain if is_held else look.over)])
    if standing.due_s is None:
        yield line([("u", look.strong), (" undo", look.plain)])


def _countdown(standing: Standing, due_s: float, look: Look) -> Text:
    share = due_s / standing.revision.probation_s if standing.revision.probation_s else 0.0
    filled = bar(share, _BAR_CELLS)
    return line(
        [
            (f" taken back in {units.duration(float(round(due_s)))} ", look.notice),
            (" ", look.plain),
            (filled.rstrip(), look.slo),
            ("·" * (_BAR_CELLS - len(filled.rstrip())), look.faint),
        ]
    )
